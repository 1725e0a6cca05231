"""Validates bills of materials by the published schemas, and by the rules that schemas cannot have.

SPDX 2.3: its JSON schema (in lib4sbom) and the validator of spdx-tools. CycloneDX 1.6: its JSON schema,
strictly (in cyclonedx-python-lib), and each reference leads to one component.
"""

import json
import sys
from pathlib import Path

import lib4sbom
from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator
from jsonschema import Draft7Validator
from packageurl import PackageURL
from spdx_tools.spdx.parser.parse_anything import parse_file
from spdx_tools.spdx.validation.document_validator import validate_full_spdx_document


def spdx(path, document):
    schema = Path(lib4sbom.__file__).parent / "schemas/spdx/2.3-schema.json"
    validator = Draft7Validator(json.loads(schema.read_text()))
    yield from (error.message for error in validator.iter_errors(document))
    messages = validate_full_spdx_document(parse_file(str(path)))
    yield from (message.validation_message for message in messages)
    for package in document["packages"]:
        for reference in package.get("externalRefs", []):
            PackageURL.from_string(reference["referenceLocator"])


def cyclonedx(path, document):
    error = JsonStrictValidator(SchemaVersion.V1_6).validate_str(path.read_text())
    if error:
        yield str(error)
    references = {document["metadata"]["component"]["bom-ref"]}
    pending = list(document["components"])
    while pending:
        component = pending.pop()
        pending += component.get("components", [])
        if component["bom-ref"] in references:
            yield f"{component['bom-ref']} is there twice"
        references.add(component["bom-ref"])
        if "purl" in component:
            PackageURL.from_string(component["purl"])
    for dependency in document["dependencies"]:
        for reference in [dependency["ref"], *dependency.get("dependsOn", [])]:
            if reference not in references:
                yield f"{reference} leads nowhere"


faults = 0
for path in map(Path, sys.argv[1:]):
    document = json.loads(path.read_text())
    check = cyclonedx if "bomFormat" in document else spdx
    for fault in check(path, document):
        print(f"{path}: {fault[:2000]}")
        faults += 1
sys.exit(1 if faults else 0)
