# The compiled part of Python's module mentor, for each interpreter of MENTOR_PYTHONS:
#
#   mentor_python_module(NAME _native SRCS module.cc LIBRARY mentor_environments FOLDER DIR)
#
# From Python 3.12 on a module with the stable interface serves all later versions.
set(MENTOR_PYTHONS "" CACHE STRING
  "Pythons that the module mentor is compiled for; empty: the python3 that was found")

set(nanobind_root ${CMAKE_SOURCE_DIR}/.deps/bindings/nanobind)

function(mentor_python_module)
  cmake_parse_arguments(arg "" "NAME;LIBRARY;FOLDER" "SRCS" ${ARGN})
  set(pythons ${MENTOR_PYTHONS})
  if(NOT pythons)
    set(pythons ${Python3_EXECUTABLE})
  endif()
  add_custom_target(mentor_python ALL)
  foreach(python IN LISTS pythons)
    execute_process(COMMAND ${python} -c "import sys, sysconfig as s
print(s.get_paths()['include'], s.get_config_var('EXT_SUFFIX'), *sys.version_info[:2], sep=';')"
      OUTPUT_VARIABLE facts OUTPUT_STRIP_TRAILING_WHITESPACE COMMAND_ERROR_IS_FATAL ANY)
    list(GET facts 0 include)
    list(GET facts 1 suffix)
    list(GET facts 3 minor)
    if(NOT EXISTS ${include}/Python.h)
      message(FATAL_ERROR "${include}/Python.h is missing: run deploy/install.sh, or name other "
        "interpreters in MENTOR_PYTHONS")
    endif()
    set(target ${arg_NAME}_3${minor})
    add_library(${target} MODULE ${arg_SRCS} ${nanobind_root}/src/nb_combined.cpp)
    set_source_files_properties(${nanobind_root}/src/nb_combined.cpp
      PROPERTIES COMPILE_OPTIONS "-w;-fno-strict-aliasing")
    if(minor GREATER_EQUAL 12)
      set(suffix .abi3.so)
      target_compile_definitions(${target} PRIVATE Py_LIMITED_API=0x030C0000)
    endif()
    target_compile_definitions(${target} PRIVATE NB_COMPACT_ASSERTIONS)
    target_include_directories(${target} SYSTEM PRIVATE ${include} ${nanobind_root}/include
      ${nanobind_root}/ext/robin_map/include)
    target_include_directories(${target} SYSTEM PRIVATE
      $<TARGET_PROPERTY:mentor_pool,INTERFACE_SYSTEM_INCLUDE_DIRECTORIES>)
    target_link_libraries(${target} PRIVATE mentor_flags ${arg_LIBRARY} protobuf::libprotobuf
      mentor::mujoco absl::statusor absl::strings)
    add_dependencies(${target} mentor_generated)
    set_target_properties(${target} PROPERTIES PREFIX "" OUTPUT_NAME ${arg_NAME} SUFFIX ${suffix}
      CXX_VISIBILITY_PRESET hidden LIBRARY_OUTPUT_DIRECTORY ${arg_FOLDER}
      BUILD_RPATH_USE_ORIGIN ON)
    add_dependencies(mentor_python ${target})
  endforeach()
endfunction()

# Links each file and folder of a Python package into TO: what is edited counts at once. Python may
# have left what it compiled in both.
function(mentor_python_links FROM TO)
  file(GLOB entries CONFIGURE_DEPENDS ${FROM}/*)
  list(FILTER entries EXCLUDE REGEX "/__pycache__$")
  foreach(entry IN LISTS entries)
    get_filename_component(name ${entry} NAME)
    file(CREATE_LINK ${entry} ${TO}/${name} SYMBOLIC)
  endforeach()
endfunction()
