// Layer norm of a tile's rows on their way into a product: four invocations read a row of NORM_X, LOADS of them each, and
// each ends with the norms of the rows that it loads: row_of(i), where has_row(i). A row has NORM_CHANNELS values, and
// NORM_STRIDE from it to the next.
//
// One sweep, since every tile of columns takes it again. E[x^2] - mean^2 cancels, so deviations are taken from the mean of
// an invocation's first piece; then four means and sums of squares make one (Chan, Golub, LeVeque 1979). A core says
// where its workgroup keeps them, two cells a row: keep_sum and kept_sums.
struct row_norm { float mean, rstd; };
row_norm norms[LOADS];

// Beyond the channels there is nothing, where a mean was taken off too.
vec4 read_gamma(uint quad) { return quad < NORM_CHANNELS / 4u ? LD4(gamma, quad) : vec4(0.0); }
vec4 read_beta(uint quad) { return quad < NORM_CHANNELS / 4u ? LD4(beta, quad) : vec4(0.0); }

float sum_of(vec4 v) { return dot(v, vec4(1.0)); }

#ifdef OCTETS
vec2 deviations(uvec4 octet, float from)                  // their sum and that of their squares
{
    vec4 low = from_halves(octet.xy) - from;
    vec4 high = from_halves(octet.zw) - from;
    return vec2(sum_of(low) + sum_of(high), dot(low, low) + dot(high, high));
}
#else
vec2 deviations(vec4 quad, float from)
{
    vec4 d = quad - from;
    return vec2(sum_of(d), dot(d, d));
}
#endif

// Of a row, the values that one of its invocations reads.
float count_of(uint i) { return float((NORM_CHANNELS / PIECE_K + 3u - i) / 4u * PIECE_K); }

void keep_deviations(uint row, uint i, float from, vec2 sums)
{
    float count = max(count_of(i), 1.0);
    keep_sum(row * 2u, i, from + sums.x / count);
    keep_sum(row * 2u + 1u, i, sums.y - sums.x * sums.x / count);
}

row_norm norm_of(uint row)
{
    vec4 counts = vec4(count_of(0u), count_of(1u), count_of(2u), count_of(3u)), means = kept_sums(row * 2u);
    float mean = dot(means, counts) / float(NORM_CHANNELS);
    vec4 off = means - mean;
    float squares = sum_of(kept_sums(row * 2u + 1u)) + dot(off * off, counts);
    return row_norm(mean, inversesqrt(squares / float(NORM_CHANNELS) + p.eps));
}

void find_norms()
{
    uint t = gl_LocalInvocationID.x;
    float from[LOADS];
    vec2 sums[LOADS];

    [[unroll]] for (uint i = 0u; i < LOADS; i++) {
        from[i] = 0.0;
        sums[i] = vec2(0.0);
    }
    for (uint c = t % 4u; c < NORM_CHANNELS / PIECE_K; c += 4u)
        [[unroll]] for (uint i = 0u; i < LOADS; i++) {
            if (!has_row(i)) continue;
            PIECE x = LD_PIECE(NORM_X, row_of(i) * (NORM_STRIDE / PIECE_K) + c);
            if (c < 4u) from[i] = deviations(x, 0.0).x / float(PIECE_K);
            sums[i] += deviations(x, from[i]);
        }
    [[unroll]] for (uint i = 0u; i < LOADS; i++)
        keep_deviations(t / 4u + i * (THREADS / 4u), t % 4u, from[i], sums[i]);
    barrier();
    [[unroll]] for (uint i = 0u; i < LOADS; i++) norms[i] = norm_of(t / 4u + i * (THREADS / 4u));
    barrier();                           // the tiles are written where they lie
}

#ifdef OCTETS
uvec4 normalised(uvec4 octet, row_norm n, vec4 gammas[2], vec4 betas[2])
{
    vec4 low = from_halves(octet.xy);
    vec4 high = from_halves(octet.zw);
    low = (low - n.mean) * n.rstd * gammas[0] + betas[0];
    high = (high - n.mean) * n.rstd * gammas[1] + betas[1];
    return uvec4(to_halves(low), to_halves(high));
}
#else
vec4 normalised(vec4 quad, row_norm n, vec4 gammas, vec4 betas)
{
    return (quad - n.mean) * n.rstd * gammas + betas;
}
#endif
