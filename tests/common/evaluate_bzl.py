"""Evaluates slimpack.bzl with a rule's context that only records; prints the action as JSON.

In: the file, and as JSON the paths and options of a target. Starlark is that of starlark-pyo3.
"""

import json
import sys

import starlark

BAZEL = """
actions = []

def _attribute(kind):
    def declare(**options):
        return {"kind": kind} | options
    return declare

attr = struct(
    label = _attribute("label"),
    label_keyed_string_dict = _attribute("label_keyed_string_dict"),
    string = _attribute("string"),
    string_list = _attribute("string_list"),
)

def depset(direct = [], transitive = []):
    def to_list():
        return direct + [file for files in transitive for file in files.to_list()]
    return struct(to_list = to_list)

def DefaultInfo(files):
    return files

def rule(**description):
    return description

def _word(value):
    return value if type(value) == "string" else value.path

def _args():
    words = []
    def add(first, second = None, format = "%s"):
        for value in [first] if second == None else [first, second]:
            words.append(format % _word(value))
    def add_all(values):
        words.extend([_word(value) for value in values])
    return struct(add = add, add_all = add_all, words = words)

def _file(path):
    return struct(path = path)

def _run_shell(outputs, inputs, tools, command, arguments, env, mnemonic, progress_message):
    actions.append({
        "outputs": [file.path for file in outputs],
        "inputs": [file.path for file in inputs.to_list()],
        "tools": [file.path for file in tools],
        "command": command,
        "words": [word for words in arguments for word in words.words],
        "env": env,
    })

def evaluate(target):
    data = [(struct(files = depset([_file(path)])), to) for path, to in target["data"].items()]
    slimpack_image["implementation"](struct(
        label = struct(name = target["name"]),
        attr = struct(
            data = struct(items = lambda: data),
            options = target["options"],
            output = target["output"],
            program = {DefaultInfo: struct(default_runfiles = struct(
                files = depset([_file(path) for path in target["runfiles"]]),
            ))},
        ),
        actions = struct(args = _args, declare_file = _file, run_shell = _run_shell),
        executable = struct(program = _file(target["program"]), slimpack = _file(target["slimpack"])),
        file = struct(root = _file(target["root"])),
    ))
    return {"actions": actions, "attributes": {
        name: sorted(attribute.keys()) for name, attribute in slimpack_image["attrs"].items()
    }}
"""

path, target = sys.argv[1:]
with open(path, encoding="utf-8") as file:
    source = BAZEL + file.read() + f"\nevaluate({json.loads(target)!r})\n"
globals_ = starlark.Globals.extended_by([starlark.LibraryExtension.StructType])
tree = starlark.parse(path, source, starlark.Dialect.extended())
print(json.dumps(starlark.eval(starlark.Module(), tree, globals_)))
