# mentor::mujoco: headers and shared library of the MuJoCo wheel. The library's file name always has
# a version.
set(mujoco_root ${MENTOR_WHEELS}/mujoco)
file(GLOB mujoco_library ${mujoco_root}/libmujoco.so.*)
list(LENGTH mujoco_library mujoco_count)
if(NOT mujoco_count EQUAL 1)
  message(FATAL_ERROR "expected one libmujoco.so.* in ${mujoco_root}, found ${mujoco_count}: "
    "run deploy/install.sh")
endif()
string(REGEX REPLACE ".*libmujoco\\.so\\." "" MENTOR_MUJOCO_VERSION "${mujoco_library}")
add_library(mentor_mujoco SHARED IMPORTED GLOBAL)
set_target_properties(mentor_mujoco PROPERTIES IMPORTED_LOCATION ${mujoco_library})
target_include_directories(mentor_mujoco SYSTEM INTERFACE ${mujoco_root}/include)
add_library(mentor::mujoco ALIAS mentor_mujoco)
