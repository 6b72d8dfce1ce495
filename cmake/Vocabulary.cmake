# CLIP's vocabulary becomes C tables inside the library. TINCT_VOCAB names the file; without it, setup.sh's
# place is tried.
set(TINCT_VOCAB_SHA256 924691ac288e54409236115652ad4aa250f48203de50a9e4722a6ecd48d6804a)
set(vocabulary "${TINCT_VOCAB}")
if(NOT vocabulary)
  if(NOT "$ENV{XDG_CACHE_HOME}" STREQUAL "")
    set(vocabulary "$ENV{XDG_CACHE_HOME}/tinct/bpe_simple_vocab_16e6.txt.gz")
  else()
    set(vocabulary "$ENV{HOME}/.cache/tinct/bpe_simple_vocab_16e6.txt.gz")
  endif()
endif()
if(NOT EXISTS "${vocabulary}" OR IS_DIRECTORY "${vocabulary}")
  message(FATAL_ERROR "CLIP's vocabulary is not at ${vocabulary}: run 'sh setup.sh', which fetches it, or give "
                      "-DTINCT_VOCAB=FILE (bpe_simple_vocab_16e6.txt.gz from the PyPI package open_clip_torch).")
endif()
file(SHA256 "${vocabulary}" vocabulary_sha256)
if(NOT vocabulary_sha256 STREQUAL TINCT_VOCAB_SHA256)
  message(FATAL_ERROR "${vocabulary} is not CLIP's vocabulary: its SHA-256 is ${vocabulary_sha256}, wanted "
                      "${TINCT_VOCAB_SHA256}; take bpe_simple_vocab_16e6.txt.gz from the PyPI package open_clip_torch.")
endif()

add_executable(embed_vocabulary cmake/embed_vocabulary.c)
target_compile_options(embed_vocabulary PRIVATE -Wpedantic)
target_link_libraries(embed_vocabulary PRIVATE tinct_flags ZLIB::ZLIB)
add_custom_command(
  OUTPUT ${CMAKE_BINARY_DIR}/vocabulary.c
  COMMAND embed_vocabulary "${vocabulary}" ${CMAKE_BINARY_DIR}/vocabulary.c
  DEPENDS embed_vocabulary "${vocabulary}" VERBATIM)
target_sources(tinct_objects PRIVATE ${CMAKE_BINARY_DIR}/vocabulary.c)
