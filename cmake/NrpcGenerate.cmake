# SPDX-License-Identifier: Apache-2.0
# NrpcGenerate.cmake: turns .proto files into a C library.
#
#   nrpc_generate(<target> PROTOS a.proto b/c.proto ... [IMPORT_DIRS dir ...])
#
# makes the static library <target> of protobuf-c's messages and protoc-gen-nrpc's stubs and skeletons. Whoever links it
# includes "a.nrpc.h" (or "a.pb-c.h" for the messages alone) and "b/c.nrpc.h". PROTOS are named relative to an import
# directory, as `import` does it in a .proto file; IMPORT_DIRS are relative to the current source directory and default
# to it. protobuf-c sees no services (protoc-gen-c-messages says why). Files are generated anew when a .proto file, anything it imports, or a plugin changes.
find_program(PROTOC_EXECUTABLE protoc REQUIRED)
find_program(PROTOC_GEN_C_EXECUTABLE protoc-gen-c REQUIRED)

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
  list(TRANSFORM import_dirs PREPEND -I OUTPUT_VARIABLE import_flags)

  set(out ${CMAKE_CURRENT_BINARY_DIR}/${target}.gen)
  file(MAKE_DIRECTORY ${out})
  set(sources)
  foreach(proto IN LISTS arg_PROTOS)
    nrpc_find_proto(path ${proto} ${import_dirs})
    string(REGEX REPLACE "\\.proto$" "" stem ${proto})
    set(outputs ${out}/${stem}.nrpc.c ${out}/${stem}.pb-c.c)
    string(REPLACE "/" "_" depfile ${stem}.d)
    # Ninja wants the first output to be the depfile's first, and protoc sorts them.
    add_custom_command(
      OUTPUT ${outputs} ${out}/${stem}.nrpc.h ${out}/${stem}.pb-c.h
      COMMAND ${PROTOC_EXECUTABLE} --plugin=protoc-gen-c=$<TARGET_FILE:protoc-gen-c-messages>
              --plugin=protoc-gen-nrpc=$<TARGET_FILE:protoc-gen-nrpc> ${import_flags} --c_out=${out} --nrpc_out=${out}
              --dependency_out=${out}/${depfile} ${path}
      DEPENDS ${path} protoc-gen-nrpc protoc-gen-c-messages ${PROTOC_GEN_C_EXECUTABLE}
      DEPFILE ${out}/${depfile}
      COMMENT "Generating C from ${proto}"
      VERBATIM)
    list(APPEND sources ${outputs})
  endforeach()

  add_library(${target} STATIC ${sources})
  # On the sources, to come behind what is inherited from nrpc: other people's warnings must not fail our build.
  set_source_files_properties(${sources} PROPERTIES COMPILE_OPTIONS -Wno-error)
  target_include_directories(${target} PUBLIC ${out})
  target_link_libraries(${target} PUBLIC nrpc PkgConfig::PROTOBUF_C)
endfunction()
