"""Images in Bazel: load("//:slimpack.bzl", "slimpack_image") packs a program with the libraries of a root.

Printed by slimpack help slimpack.bzl, for Bazel 6 and newer. slimpack's tests evaluate this file with an
interpreter of Starlark and run the command of its action; they do not run Bazel.
"""

# The root is unpacked in the action: in a sandbox, each file of a directory is a link to a place outside
# of it, and a link inside a root leads to a path of that root.
_COMMAND = """
set -eu
slimpack=$1 archive=$2
shift 2
scratch=$(mktemp -d "$PWD/slimpack.XXXXXX")
trap 'rm -rf "$scratch"' EXIT
"$slimpack" extract -q "$archive" -o "$scratch/root"
"$slimpack" -q --root "$scratch/root" "$@"
"""

def _slimpack_image_impl(ctx):
    image = ctx.actions.declare_file(ctx.attr.output or ctx.label.name + ".tar")
    arguments = ctx.actions.args()

    # A path without a slash would be a command of PATH, or of slimpack.
    arguments.add(ctx.executable.slimpack, format = "./%s")
    arguments.add(ctx.file.root)
    arguments.add(ctx.executable.program, format = "./%s")
    arguments.add("-o", image)
    inputs = [ctx.file.root]
    for target, destination in ctx.attr.data.items():
        for file in target.files.to_list():
            arguments.add("--add")
            arguments.add(file, format = "%s:" + destination.replace("%", "%%"))
            inputs.append(file)
    arguments.add_all(ctx.attr.options)
    ctx.actions.run_shell(
        outputs = [image],
        inputs = depset(
            inputs,
            transitive = [ctx.attr.program[DefaultInfo].default_runfiles.files],
        ),
        tools = [ctx.executable.slimpack, ctx.executable.program],
        command = _COMMAND,
        arguments = [arguments],
        # The time stamp of the image does not come from this machine.
        env = {"SOURCE_DATE_EPOCH": "0"},
        mnemonic = "Slimpack",
        progress_message = "Packing %{output}",
    )
    return [DefaultInfo(files = depset([image]))]

slimpack_image = rule(
    implementation = _slimpack_image_impl,
    doc = "Packs a program into a container image, and takes nothing from the machine that builds.",
    attrs = {
        "program": attr.label(
            executable = True,
            cfg = "target",
            mandatory = True,
            doc = "The program, such as a cc_binary.",
        ),
        "root": attr.label(
            allow_single_file = True,
            mandatory = True,
            doc = "The root with the libraries: an archive of an image (docker save), or a tar of a root.",
        ),
        "slimpack": attr.label(
            executable = True,
            cfg = "exec",
            allow_single_file = True,
            mandatory = True,
            doc = "The slimpack to use, such as a file of a release.",
        ),
        "data": attr.label_keyed_string_dict(
            allow_files = True,
            doc = "Files to add, each with its path in the image.",
        ),
        "options": attr.string_list(
            doc = "More options of slimpack, such as -u and 1000.",
        ),
        "output": attr.string(
            doc = "File name of the image [default: the name with .tar].",
        ),
    },
)
