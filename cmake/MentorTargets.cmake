# How this project makes targets.
#
#   mentor_library(NAME envs SRCS a.cc b.cc DEPS common mentor::mujoco)
#     An OBJECT library, so that self-registered parts always reach the binary. DEPS names our layers by their short
#     names and third-party targets as they are: these are the arrows of the design.
#   mentor_binary(NAME mentor-actor SRCS main.cc DEPS actor envs)
#     An executable with the objects of DEPS and of all layers below them.

# LibTorch files need over 1 GB each to compile: at most two at a time.
set_property(GLOBAL PROPERTY JOB_POOLS torch_pool=2)

add_library(mentor_flags INTERFACE)
target_compile_options(mentor_flags INTERFACE
  -march=${MENTOR_ARCH} -mtune=generic -ffp-contract=off
  -Wall -Wextra -Wno-unused-parameter -Werror=return-type -Werror=switch
  $<$<CONFIG:RelWithDebInfo>:-g1>)
target_include_directories(mentor_flags INTERFACE ${CMAKE_SOURCE_DIR})
if(MENTOR_SANITIZE)
  target_compile_options(mentor_flags INTERFACE -fsanitize=${MENTOR_SANITIZE} -fno-omit-frame-pointer)
  target_link_options(mentor_flags INTERFACE -fsanitize=${MENTOR_SANITIZE})
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
  if("mentor::torch" IN_LIST ARGN OR "learner_math" IN_LIST layers)
    set_property(TARGET ${target} PROPERTY JOB_POOL_COMPILE torch_pool)
  endif()
endfunction()

function(mentor_library)
  cmake_parse_arguments(arg "" "NAME" "SRCS;DEPS" ${ARGN})
  if(NOT arg_SRCS)
    file(TOUCH ${CMAKE_BINARY_DIR}/empty.cc)
    set(arg_SRCS ${CMAKE_BINARY_DIR}/empty.cc)
  endif()
  add_library(mentor_${arg_NAME} OBJECT ${arg_SRCS})
  add_library(mentor::${arg_NAME} ALIAS mentor_${arg_NAME})
  target_link_libraries(mentor_${arg_NAME} PUBLIC mentor_flags)
  mentor_link(mentor_${arg_NAME} ${arg_DEPS})
endfunction()

function(mentor_binary)
  cmake_parse_arguments(arg "" "NAME" "SRCS;DEPS" ${ARGN})
  add_executable(${arg_NAME} ${arg_SRCS})
  target_link_libraries(${arg_NAME} PRIVATE mentor_flags)
  mentor_link(${arg_NAME} ${arg_DEPS})
  get_target_property(layers ${arg_NAME} MENTOR_LAYERS)
  # Objects pass one link only, so the executable names every layer itself.
  foreach(layer IN LISTS layers)
    target_link_libraries(${arg_NAME} PRIVATE mentor_${layer})
  endforeach()
endfunction()
