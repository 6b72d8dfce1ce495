# Everything the library needs, as one target. Debian 12 package names are in setup.sh.
find_package(PkgConfig REQUIRED)
find_package(OpenMP REQUIRED COMPONENTS C)
find_package(ZLIB REQUIRED)
find_path(VULKAN_INCLUDE vulkan/vulkan.h REQUIRED)
find_path(STB_INCLUDE stb/stb_image_write.h REQUIRED)
pkg_check_modules(CJSON REQUIRED IMPORTED_TARGET libcjson)
pkg_check_modules(SPNG REQUIRED IMPORTED_TARGET spng)
pkg_check_modules(JPEG REQUIRED IMPORTED_TARGET libjpeg)
pkg_check_modules(WEBP REQUIRED IMPORTED_TARGET libwebp)
pkg_check_modules(UTF8PROC REQUIRED IMPORTED_TARGET libutf8proc)
pkg_check_modules(NETTLE REQUIRED IMPORTED_TARGET nettle)

add_library(tinct_dependencies INTERFACE)
target_include_directories(tinct_dependencies SYSTEM INTERFACE ${VULKAN_INCLUDE} ${STB_INCLUDE})
target_link_libraries(tinct_dependencies INTERFACE
  OpenMP::OpenMP_C PkgConfig::CJSON PkgConfig::SPNG PkgConfig::JPEG PkgConfig::WEBP PkgConfig::UTF8PROC PkgConfig::NETTLE ZLIB::ZLIB m ${CMAKE_DL_LIBS})
