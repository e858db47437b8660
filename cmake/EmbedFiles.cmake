# Embeds text files as constants of the program:
#
#   mentor_embed(OUT out.cc HEADER path/embedded.h NAMESPACE mentor::templates
#                kPageScript page.js  kPageStyle page.css)
#
# The call writes the file OUT, for SRCS of a layer, with a std::string_view for each name. OUT is
# regenerated when one of the files changes.
if(CMAKE_SCRIPT_MODE_FILE STREQUAL CMAKE_CURRENT_LIST_FILE)
  # cmake -D OUT=.. -D HEADER=.. -D NAMESPACE=.. -D FILES=NAME|PATH|.. -P EmbedFiles.cmake
  string(REPLACE "|" ";" pairs "${FILES}")
  set(code "// Made by cmake/EmbedFiles.cmake.\n#include \"${HEADER}\"\n\n")
  string(APPEND code "namespace ${NAMESPACE} {\n")
  while(pairs)
    list(POP_FRONT pairs name path)
    file(READ "${path}" text)
    string(FIND "${text}" ")embedded\"" bad)
    if(NOT bad EQUAL -1)
      message(FATAL_ERROR "${path} holds the end of a raw string, )embedded\"")
    endif()
    string(APPEND code "\nconst std::string_view ${name} = R\"embedded(${text})embedded\";\n")
  endwhile()
  file(WRITE "${OUT}" "${code}\n}  // namespace ${NAMESPACE}\n")
  return()
endif()

set(MENTOR_EMBED_SCRIPT ${CMAKE_CURRENT_LIST_FILE})
function(mentor_embed)
  cmake_parse_arguments(arg "" "OUT;HEADER;NAMESPACE" "" ${ARGN})
  set(pairs)
  set(files)
  set(rest ${arg_UNPARSED_ARGUMENTS})
  while(rest)
    list(POP_FRONT rest name path)
    get_filename_component(path ${path} ABSOLUTE)
    list(APPEND pairs ${name} ${path})
    list(APPEND files ${path})
  endwhile()
  string(REPLACE ";" "|" pairs "${pairs}")
  add_custom_command(OUTPUT ${arg_OUT}
    COMMAND ${CMAKE_COMMAND} -D OUT=${arg_OUT} -D HEADER=${arg_HEADER}
      -D NAMESPACE=${arg_NAMESPACE} -D "FILES=${pairs}" -P ${MENTOR_EMBED_SCRIPT}
    DEPENDS ${files} ${MENTOR_EMBED_SCRIPT} VERBATIM)
endfunction()
