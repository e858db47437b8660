include(PrecompiledHeaders)
option(MENTOR_UNITY "Compile files of a layer together" ON)

# How this project defines targets: each folder is a layer, and each layer is a target.
#
#   mentor_layer(NAME agents FOLDER agents DEPS common mentor::torch)
#     Compiles all sources of one folder except main.cc into an OBJECT library, so that
#     self-registered parts always reach the binary. Its .cu files are compiled where NVIDIA's
#     compiler is installed. DEPS lists layers by their short names and third-party targets by their
#     full names. These dependencies are the design's arrows, and tests/tidy/tidy_check.py checks
#     the includes against them.
#     SUBFOLDERS adds sources of subfolders, each of which may include the ones before it. PEERS
#     adds folders that come after SUBFOLDERS and never include each other. Ten files at a time are
#     compiled as one, since headers cost more than code. So names in the anonymous namespaces of a
#     layer differ. GLUE, after FOLDER, is for layers that compute nothing: they are compiled with
#     -O1, which takes three quarters of the time.
#   mentor_binary(NAME mentor-actor SRCS main.cc DEPS actor envs)
#     Links an executable with the objects of DEPS and of all layers below them.

add_library(mentor_flags INTERFACE)
target_include_directories(mentor_flags INTERFACE ${CMAKE_SOURCE_DIR})
set(cxx_flags -march=${MENTOR_ARCH} -mtune=generic -ffp-contract=off
  -Wall -Wextra -Wno-unused-parameter -Werror=return-type -Werror=switch)
if(CMAKE_CXX_COMPILER_ID STREQUAL Clang)
  list(APPEND cxx_flags -Wthread-safety -Werror=thread-safety)
endif()
if(CMAKE_BUILD_TYPE STREQUAL RelWithDebInfo)
  list(APPEND cxx_flags -g1)
endif()
if(MENTOR_WERROR)
  list(APPEND cxx_flags -Werror)
  if(CMAKE_CXX_COMPILER_ID STREQUAL GNU)
    # False positives of GCC 12 about std::string after heavy inlining (its bugs 105329 and 105651)
    # stay warnings.
    list(APPEND cxx_flags -Wno-error=array-bounds -Wno-error=restrict -Wno-error=stringop-overflow)
  endif()
endif()
target_compile_options(mentor_flags INTERFACE "$<$<COMPILE_LANGUAGE:CXX>:${cxx_flags}>")
if(MENTOR_KERNELS)
  # The host's part of a .cu file is compiled like all other code, but contains device pragmas.
  list(APPEND cxx_flags -Wno-unknown-pragmas)
  list(JOIN cxx_flags "," cxx_flags)
  set(cuda_flags ${MENTOR_DEVICE_FLAGS} -Xcompiler=${cxx_flags})
  if(MENTOR_WERROR)
    list(APPEND cuda_flags -Werror=all-warnings)
  endif()
  target_compile_options(mentor_flags INTERFACE "$<$<COMPILE_LANGUAGE:CUDA>:${cuda_flags}>")
  # In every layer, so that a kernel whose .cu file is left out is an undefined symbol.
  target_compile_definitions(mentor_flags INTERFACE MENTOR_KERNELS)
endif()
if(MENTOR_SANITIZE)
  target_compile_options(mentor_flags INTERFACE
    "$<$<COMPILE_LANGUAGE:CXX>:-fsanitize=${MENTOR_SANITIZE};-fno-omit-frame-pointer>")
  target_link_options(mentor_flags INTERFACE -fsanitize=${MENTOR_SANITIZE})
  if(MENTOR_SANITIZE MATCHES "thread")
    # Debian's protobuf was built without the sanitizer; with it, the headers would add two members
    # to maps.
    target_compile_options(mentor_flags INTERFACE -U__SANITIZE_THREAD__)
    target_compile_definitions(mentor_flags INTERFACE MENTOR_TSAN)
  endif()
endif()

function(mentor_link target)
  set(layers)
  foreach(dep IN LISTS ARGN)
    if(TARGET mentor_${dep})
      target_link_libraries(${target} PUBLIC mentor_${dep})
      list(APPEND layers ${dep})
      get_target_property(below mentor_${dep} MENTOR_LAYERS)
      if(below)
        list(APPEND layers ${below})
      endif()
    elseif(TARGET ${dep})
      target_link_libraries(${target} PUBLIC ${dep})
    else()
      message(FATAL_ERROR "${target}: no target '${dep}'")
    endif()
  endforeach()
  list(REMOVE_DUPLICATES layers)
  set_property(TARGET ${target} PROPERTY MENTOR_LAYERS ${layers})
  set(headers plain)
  if("mentor::torch" IN_LIST ARGN OR "kernels" IN_LIST layers)
    set(headers torch)
  endif()
  if("Catch2::Catch2" IN_LIST ARGN)
    string(APPEND headers _test)
  endif()
  mentor_precompiled(${target} ${headers})
endfunction()

function(mentor_layer)
  cmake_parse_arguments(arg "GLUE" "NAME;FOLDER" "SUBFOLDERS;PEERS;SRCS;DEPS" ${ARGN})
  set(folder ${CMAKE_SOURCE_DIR}/${arg_FOLDER})
  file(GLOB sources CONFIGURE_DEPENDS ${folder}/*.cc ${folder}/*.cu)
  foreach(subfolder IN LISTS arg_SUBFOLDERS arg_PEERS)
    file(GLOB more CONFIGURE_DEPENDS ${folder}/${subfolder}/*.cc ${folder}/${subfolder}/*.cu)
    list(APPEND sources ${more})
  endforeach()
  list(FILTER sources EXCLUDE REGEX "/main\\.cc$")
  if(NOT MENTOR_KERNELS)
    list(FILTER sources EXCLUDE REGEX "\\.cu$")
  endif()
  add_library(mentor_${arg_NAME} OBJECT ${sources} ${arg_SRCS})
  add_library(mentor::${arg_NAME} ALIAS mentor_${arg_NAME})
  target_link_libraries(mentor_${arg_NAME} PUBLIC mentor_flags)
  mentor_link(mentor_${arg_NAME} ${arg_DEPS})
  set_target_properties(mentor_${arg_NAME} PROPERTIES
    UNITY_BUILD ${MENTOR_UNITY} UNITY_BUILD_BATCH_SIZE 10)
  if(arg_GLUE)
    target_compile_options(mentor_${arg_NAME} PRIVATE -O1)
  endif()
endfunction()

function(mentor_binary)
  cmake_parse_arguments(arg "" "NAME" "SRCS;DEPS" ${ARGN})
  add_executable(${arg_NAME} ${arg_SRCS})
  target_link_libraries(${arg_NAME} PRIVATE mentor_flags)
  mentor_link(${arg_NAME} ${arg_DEPS})
  get_target_property(layers ${arg_NAME} MENTOR_LAYERS)
  # Object libraries propagate through one link only, so the executable names every layer itself.
  foreach(layer IN LISTS layers)
    target_link_libraries(${arg_NAME} PRIVATE mentor_${layer})
  endforeach()
endfunction()
