# shaders/*.comp become SPIR-V inside the library: a module is <shader>.<f32|f16>.<texel|storage>, the three names
# that src/device/vulkan/kernels.c puts together. The calls are in shaders/CMakeLists.txt.
find_program(GLSLC glslc REQUIRED)
file(GLOB TINCT_SHADER_INCLUDES CONFIGURE_DEPENDS ${CMAKE_SOURCE_DIR}/shaders/*.glsl ${CMAKE_SOURCE_DIR}/shaders/*.h)
set_property(GLOBAL PROPERTY TINCT_MODULES "")

function(tinct_shader shader)
  if(shader MATCHES "_soft$")
    set(accesses texel)
  else()
    set(accesses texel storage)
  endif()
  foreach(type IN LISTS ARGN)
    foreach(access IN LISTS accesses)
      set(module ${shader}.${type}.${access})
      set(source ${CMAKE_CURRENT_SOURCE_DIR}/${shader}.comp)
      set(flags --target-env=vulkan1.1 -mfmt=c)
      if(type STREQUAL f16)
        list(APPEND flags -DF16)
      endif()
      if(access STREQUAL texel)
        list(APPEND flags -DTEXEL)
      endif()
      add_custom_command(OUTPUT ${CMAKE_CURRENT_BINARY_DIR}/${module}.inc
        COMMAND ${GLSLC} ${flags} ${source} -o ${CMAKE_CURRENT_BINARY_DIR}/${module}.inc
        DEPENDS ${source} ${TINCT_SHADER_INCLUDES} COMMENT "Shader ${module}" VERBATIM)
      set_property(GLOBAL APPEND PROPERTY TINCT_MODULES ${module})
    endforeach()
  endforeach()
endfunction()

# The table of all modules, as C.
function(tinct_shader_table)
  get_property(modules GLOBAL PROPERTY TINCT_MODULES)
  set(arrays "")
  set(rows "")
  set(files "")
  foreach(module IN LISTS modules)
    string(REPLACE "." "_" name ${module})
    string(APPEND arrays "static const uint32_t ${name}[] =\n#include \"${module}.inc\"\n;\n")
    string(APPEND rows "    { \"${module}\", ${name}, sizeof ${name} },\n")
    list(APPEND files ${CMAKE_CURRENT_BINARY_DIR}/${module}.inc)
  endforeach()
  file(CONFIGURE OUTPUT ${CMAKE_CURRENT_BINARY_DIR}/modules.c @ONLY CONTENT
"#include \"device/vulkan/vk.h\"\n\n@arrays@
const struct vk_module vk_modules[] = {\n@rows@};\nconst size_t vk_module_count = sizeof vk_modules / sizeof *vk_modules;\n")
  add_custom_target(tinct_spirv DEPENDS ${files})
  add_dependencies(tinct_objects tinct_spirv)
  target_sources(tinct_objects PRIVATE ${CMAKE_CURRENT_BINARY_DIR}/modules.c)
endfunction()

add_subdirectory(shaders)
