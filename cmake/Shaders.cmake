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

# A shader of cooperative matrices, in three forms (shaders/matrix.glsl): <shader>.f16.khr, .nv and .plain. Where glslc does not
# know KHR's, ours is made of NV's (khr_matrix.h).
file(WRITE ${CMAKE_CURRENT_BINARY_DIR}/khr_probe.comp
  "#version 450\n#extension GL_KHR_cooperative_matrix : require\nvoid main() {}\n")
execute_process(COMMAND ${GLSLC} --target-env=vulkan1.1 ${CMAKE_CURRENT_BINARY_DIR}/khr_probe.comp
                -o ${CMAKE_CURRENT_BINARY_DIR}/khr_probe.spv RESULT_VARIABLE khr_is_unknown OUTPUT_QUIET ERROR_QUIET)
add_library(tinct_khr_matrix STATIC ${CMAKE_SOURCE_DIR}/cmake/khr_matrix.c)
target_include_directories(tinct_khr_matrix PUBLIC ${CMAKE_SOURCE_DIR}/cmake)
target_compile_options(tinct_khr_matrix PRIVATE -Wpedantic)
target_link_libraries(tinct_khr_matrix PRIVATE tinct_flags)
add_executable(khr_matrix ${CMAKE_SOURCE_DIR}/cmake/khr_matrix_main.c)
target_compile_options(khr_matrix PRIVATE -Wpedantic)
target_link_libraries(khr_matrix PRIVATE tinct_khr_matrix tinct_flags)

function(tinct_matrix_shader shader)
  set(source ${CMAKE_CURRENT_SOURCE_DIR}/${shader}.comp)
  foreach(form khr nv plain)
    set(module ${shader}.f16.${form})
    set(words ${CMAKE_CURRENT_BINARY_DIR}/${module}.inc)
    string(TOUPPER -DMATRIX_${form} macro)
    if(form STREQUAL khr AND khr_is_unknown)
      set(nv ${CMAKE_CURRENT_BINARY_DIR}/${shader}.nv.spv)
      add_custom_command(OUTPUT ${words} ${nv}
        COMMAND ${GLSLC} --target-env=vulkan1.1 -DF16 -DMATRIX_NV ${source} -o ${nv}
        COMMAND khr_matrix ${nv} ${words} ${CMAKE_CURRENT_BINARY_DIR}/${shader}.khr.spv
        DEPENDS ${source} ${TINCT_SHADER_INCLUDES} khr_matrix COMMENT "Shader ${module}, rewritten" VERBATIM)
    else()
      add_custom_command(OUTPUT ${words}
        COMMAND ${GLSLC} --target-env=vulkan1.1 -mfmt=c -DF16 ${macro} ${source} -o ${words}
        DEPENDS ${source} ${TINCT_SHADER_INCLUDES} COMMENT "Shader ${module}" VERBATIM)
    endif()
    set_property(GLOBAL APPEND PROPERTY TINCT_MODULES ${module})
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
