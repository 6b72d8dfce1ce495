# Kernel files of the cpu device, compiled once per instruction set. CPU_ISA is the set's name; a file
# names its symbols with CPU_NAME(x), which appends it, so there is no #ifdef inside an algorithm.
file(GLOB TINCT_KERNELS CONFIGURE_DEPENDS src/device/cpu/kernels/*.c)
set(TINCT_EXTRA_OBJECTS "")
set(TINCT_ISAS generic)
if(CMAKE_SYSTEM_PROCESSOR MATCHES "x86_64|AMD64")
  list(APPEND TINCT_ISAS avx2 avx512 bf16)
endif()
set(TINCT_ISA_FLAGS_generic "")
set(TINCT_ISA_FLAGS_avx2 -mavx2 -mfma -mf16c -mbmi2)
set(TINCT_ISA_FLAGS_avx512 ${TINCT_ISA_FLAGS_avx2} -mavx512f -mavx512bw -mavx512dq -mavx512vl -mavx512cd
    -mprefer-vector-width=512)
set(TINCT_ISA_FLAGS_bf16 ${TINCT_ISA_FLAGS_avx512} -mavx512bf16)
if(TINCT_KERNELS)
  foreach(isa IN LISTS TINCT_ISAS)
    add_library(tinct_kernels_${isa} OBJECT ${TINCT_KERNELS})
    target_compile_options(tinct_kernels_${isa} PRIVATE ${TINCT_ISA_FLAGS_${isa}} -ffp-contract=fast
                           -fno-math-errno -fno-trapping-math)
    target_compile_definitions(tinct_kernels_${isa} PRIVATE CPU_ISA=${isa})
    target_link_libraries(tinct_kernels_${isa} PRIVATE tinct_flags tinct_dependencies)
    list(APPEND TINCT_EXTRA_OBJECTS $<TARGET_OBJECTS:tinct_kernels_${isa}>)
  endforeach()
endif()
