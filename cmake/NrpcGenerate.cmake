# SPDX-License-Identifier: Apache-2.0
# NrpcGenerate.cmake: turns .proto files into a C library.
#
#   nrpc_generate(<target> PROTOS a.proto b/c.proto ... [IMPORT_DIRS dir ...])
#
# makes the static library <target> of protobuf-c's messages and protoc-gen-nrpc's stubs and skeletons. Whoever links it
# includes "a.nrpc.h" (or "a.pb-c.h" for the messages alone) and "b/c.nrpc.h". PROTOS are named relative to an import
# directory, as `import` does it in a .proto file; IMPORT_DIRS are relative to the current source directory and default
# to it. Files are generated anew when a .proto file, anything it imports, or a plugin changes.
#
# Imports: google/protobuf/*.proto, protobuf-c/protobuf-c.proto and nrpc/v1/options.proto are there for everybody (the
# library nrpc_wkt, linked by itself). What another nrpc_generate() made: name its directory in IMPORT_DIRS and link it,
# target_link_libraries(<target> PUBLIC <other>).
#
# All of proto3 is there, with protobuf-c's ways:
# - `optional int32 x` is a oneof has_x: `if (m->has_x_case) use(m->x)`; to set it, m->x = 1 and
#   m->has_x_case = PKG__M__HAS_X_X.
# - A map is a repeated field of entries with `key` and `value`, in the order that it came in, with a key twice if it was
#   sent twice: the last one counts.
# - A field whose name is a keyword of C++98 has a "_" behind it.
# Refused, each with the place in the .proto file: a message that contains itself (google.protobuf.Struct, Value,
# ListValue) or more than 100 messages deep in a request or response, since protobuf-c unpacks them by recursion; two
# things that would have one name in C; fields called like another word of C (those called like a newer word of C++ make a
# header that C++ cannot read); proto2's groups. proto2's extensions are not generated: they are among a message's unknown
# fields.
find_program(PROTOC_EXECUTABLE protoc REQUIRED)
find_program(PROTOC_GEN_C_EXECUTABLE protoc-gen-c REQUIRED)
find_path(PROTOC_INCLUDE_DIR google/protobuf/descriptor.proto REQUIRED)
find_path(NRPC_PROTO_DIR nrpc/v1/options.proto REQUIRED
  HINTS ${CMAKE_CURRENT_LIST_DIR}/../proto ${CMAKE_CURRENT_LIST_DIR}/../../../include NO_DEFAULT_PATH)

# The first of the import directories that holds the file.
function(nrpc_find_proto out proto)
  foreach(dir IN LISTS ARGN)
    if(EXISTS ${dir}/${proto})
      set(${out} ${dir}/${proto} PARENT_SCOPE)
      return()
    endif()
  endforeach()
  message(FATAL_ERROR "nrpc_generate: ${proto} is in none of: ${ARGN}")
endfunction()

function(nrpc_generate target)
  cmake_parse_arguments(PARSE_ARGV 1 arg "" "" "PROTOS;IMPORT_DIRS")
  if(arg_UNPARSED_ARGUMENTS OR NOT arg_PROTOS)
    message(FATAL_ERROR "nrpc_generate(<target> PROTOS <file>... [IMPORT_DIRS <dir>...]): got ${ARGV}")
  endif()
  if(NOT arg_IMPORT_DIRS)
    set(arg_IMPORT_DIRS ${CMAKE_CURRENT_SOURCE_DIR})
  endif()
  set(import_dirs)
  foreach(dir IN LISTS arg_IMPORT_DIRS)
    get_filename_component(dir ${dir} ABSOLUTE)
    list(APPEND import_dirs ${dir})
  endforeach()
  list(APPEND import_dirs ${NRPC_PROTO_DIR} ${PROTOC_INCLUDE_DIR})
  list(TRANSFORM import_dirs PREPEND -I OUTPUT_VARIABLE import_flags)

  set(out ${CMAKE_CURRENT_BINARY_DIR}/${target}.gen)
  file(MAKE_DIRECTORY ${out})
  set(sources)
  foreach(proto IN LISTS arg_PROTOS)
    nrpc_find_proto(path ${proto} ${import_dirs})
    string(REGEX REPLACE "\\.proto$" "" stem ${proto})
    set(outputs ${out}/${stem}.nrpc.c ${out}/${stem}.pb-c.c)
    string(REPLACE "/" "_" depfile ${stem}.d)
    # protoc-gen-nrpc comes first, for its refusals are the clearer ones. Ninja wants the first output to be the depfile's
    # first, and protoc sorts them.
    add_custom_command(
      OUTPUT ${outputs} ${out}/${stem}.nrpc.h ${out}/${stem}.pb-c.h
      COMMAND ${PROTOC_EXECUTABLE} --plugin=protoc-gen-c=$<TARGET_FILE:protoc-gen-c-messages>
              --plugin=protoc-gen-nrpc=$<TARGET_FILE:protoc-gen-nrpc> ${import_flags} --nrpc_out=${out} --c_out=${out}
              --dependency_out=${out}/${depfile} ${path}
      DEPENDS ${path} protoc-gen-nrpc protoc-gen-c-messages ${PROTOC_GEN_C_EXECUTABLE}
      DEPFILE ${out}/${depfile}
      COMMENT "Generating C from ${proto}"
      VERBATIM)
    list(APPEND sources ${outputs})
    # On the source, to come behind what is inherited from nrpc: protobuf-c's warnings must not fail our build.
    set_source_files_properties(${out}/${stem}.pb-c.c PROPERTIES COMPILE_OPTIONS -Wno-error)
  endforeach()

  add_library(${target} STATIC ${sources})
  target_include_directories(${target} PUBLIC $<BUILD_INTERFACE:${out}>)
  target_link_libraries(${target} PUBLIC nrpc PkgConfig::PROTOBUF_C)
  if(NOT target STREQUAL nrpc_wkt)
    target_link_libraries(${target} PUBLIC nrpc_wkt)
  endif()
endfunction()
