# Images in CMakeLists.txt: include(slimpack.cmake), then slimpack_image(TARGET app) packs the program app.
# Printed by slimpack help slimpack.cmake; requires CMake 3.21.

include_guard(GLOBAL)

find_program(SLIMPACK slimpack DOC "The program that packs images")

# slimpack_image(TARGET app [OUTPUT FILE] [OPTIONS OPTION...] [DEPENDS FILE...])
#
# Adds a target app_image to the build. It packs the executable TARGET again only if something changes:
# the program, a library that it loads, a link to one, something that was added.
#
# TARGET   a target of add_executable
# OUTPUT   the image [default: app.tar]
# OPTIONS  options of slimpack, such as -u 1000
# DEPENDS  targets, and files that the build makes, which the options name
#
# Relative paths start in the current binary directory.
function(slimpack_image)
  cmake_parse_arguments(PARSE_ARGV 0 arg "" "TARGET;OUTPUT" "OPTIONS;DEPENDS")
  if(NOT arg_TARGET OR arg_UNPARSED_ARGUMENTS)
    message(FATAL_ERROR "slimpack_image(TARGET app [OUTPUT FILE] [OPTIONS OPTION...] [DEPENDS FILE...]): "
      "no TARGET, or unknown words: ${arg_UNPARSED_ARGUMENTS}")
  endif()
  if(NOT SLIMPACK)
    message(FATAL_ERROR "slimpack was not found; set its path with -DSLIMPACK=PATH")
  endif()
  if(NOT arg_OUTPUT)
    set(arg_OUTPUT "${arg_TARGET}.tar")
  endif()
  cmake_path(ABSOLUTE_PATH arg_OUTPUT BASE_DIRECTORY "${CMAKE_CURRENT_BINARY_DIR}" NORMALIZE)
  cmake_path(GET arg_OUTPUT PARENT_PATH directory)
  file(MAKE_DIRECTORY "${directory}")
  set(depfile "${arg_OUTPUT}.d")
  # Ninja asks whether the output of a command has changed; Make would start the command each time.
  set(unchanged "")
  if(CMAKE_GENERATOR MATCHES "Ninja")
    set(unchanged --if-changed)
  endif()
  add_custom_command(
    OUTPUT "${arg_OUTPUT}"
    COMMAND "${SLIMPACK}" "$<TARGET_FILE:${arg_TARGET}>" -o "${arg_OUTPUT}" --depfile "${depfile}" -q
      ${unchanged} ${arg_OPTIONS}
    DEPENDS "${arg_TARGET}" ${arg_DEPENDS} "${SLIMPACK}"
    DEPFILE "${depfile}"
    WORKING_DIRECTORY "${CMAKE_CURRENT_BINARY_DIR}"
    COMMENT "Packing ${arg_TARGET}"
    COMMAND_EXPAND_LISTS
    VERBATIM)
  add_custom_target("${arg_TARGET}_image" ALL DEPENDS "${arg_OUTPUT}")
endfunction()
