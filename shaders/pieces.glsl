// Operands that are read in pieces of PIECE_K channels: quads, or with the macro OCTETS eight fp16 values as they are stored.
#ifdef OCTETS
#define PIECE uvec4
#define PIECE_K 8u
#define READS_PIECES(b, x) READS_WEIGHT(b, x)
#define LD_PIECE(x, i)     LD_WEIGHT(x, i)
#else
#define PIECE vec4
#define PIECE_K 4u
#define READS_PIECES(b, x) READS(b, x)
#define LD_PIECE(x, i)     LD4(x, i)
#endif
