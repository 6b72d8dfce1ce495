/* The types of parameter blocks that C and GLSL share: C gets the name uint, GLSL has it. */
#ifndef TINCT_SHADER_TYPES_H
#define TINCT_SHADER_TYPES_H
#ifndef GL_core_profile
#include <stdint.h>
typedef unsigned int uint;
#endif
#endif
