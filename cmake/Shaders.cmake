# tinct_shader(<name> <variants...>) calls live in shaders/CMakeLists.txt.
if(EXISTS ${CMAKE_SOURCE_DIR}/shaders/CMakeLists.txt)
  add_subdirectory(shaders)
endif()
