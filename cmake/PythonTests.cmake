# Tests written in Python with unittest: each `def test_...` is one test of ctest. With TOGETHER
# each class is one, for modules whose start takes longer than most of their tests. The folder below
# tests/ is the label and begins the name. "# Nightly" at the end of the line of a test,
# or with TOGETHER of a class, makes it one of TIER nightly.
#
#   mentor_python_tests([TIER slow|nightly] TIMEOUT 600 [PYTHON python3] [COST 100] [TOGETHER]
#                       FILES a_test.py)
find_package(Python3 REQUIRED COMPONENTS Interpreter)
# What was found may be a script that looks for the interpreter, as pyenv's is: 0.06 CPU seconds for
# each test.
execute_process(COMMAND ${Python3_EXECUTABLE} -c "import sys; print(sys.executable)"
  OUTPUT_VARIABLE MENTOR_TEST_PYTHON OUTPUT_STRIP_TRAILING_WHITESPACE COMMAND_ERROR_IS_FATAL ANY)

function(mentor_python_tests)
  set(environment MENTOR_BIN_DIR=${CMAKE_RUNTIME_OUTPUT_DIRECTORY}
    MENTOR_INSTALLED_ASSETS=${MENTOR_WHEELS})
  cmake_parse_arguments(arg "TOGETHER" "TIER;TIMEOUT;PYTHON;COST" "FILES" ${ARGN})
  cmake_path(GET CMAKE_CURRENT_SOURCE_DIR FILENAME folder)
  if(NOT arg_COST)
    set(arg_COST 0)
  endif()
  if(NOT arg_PYTHON)
    set(arg_PYTHON ${MENTOR_TEST_PYTHON})
  endif()
  foreach(file IN LISTS arg_FILES)
    get_filename_component(module ${file} NAME_WE)
    set_property(DIRECTORY APPEND PROPERTY CMAKE_CONFIGURE_DEPENDS ${file})
    file(STRINGS ${file} lines REGEX "^(class [A-Za-z]+|    def test_[a-z0-9_]+)")
    set(class)
    set(known)
    foreach(line IN LISTS lines)
      set(labels ${folder} ${arg_TIER})
      if(line MATCHES "# Nightly$")
        set(labels ${folder} nightly)
      endif()
      if(line MATCHES "^class ([A-Za-z]+)")
        set(class ${CMAKE_MATCH_1})
        set(labels_of_class ${labels})
      elseif(line MATCHES "def (test_[a-z0-9_]+)")
        set(name "${folder}: ${module} ${CMAKE_MATCH_1}")
        set(run ${module}.${class}.${CMAKE_MATCH_1})
        if(arg_TOGETHER)
          if("${class}" STREQUAL "${known}")
            continue()
          endif()
          set(known ${class})
          set(name "${folder}: ${module} ${class}")
          set(run ${module}.${class})
          set(labels ${labels_of_class})
        endif()
        add_test(NAME ${name}
          COMMAND ${arg_PYTHON} -m unittest -v ${run}
          WORKING_DIRECTORY ${CMAKE_CURRENT_SOURCE_DIR})
        # A test counts as skipped only if unittest says so after success.
        set_tests_properties(${name} PROPERTIES LABELS "${labels}" TIMEOUT ${arg_TIMEOUT}
          COST ${arg_COST}
          SKIP_REGULAR_EXPRESSION "OK \\(skipped"
          ENVIRONMENT "${environment}")
      endif()
    endforeach()
  endforeach()
endfunction()
