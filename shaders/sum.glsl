// The sum over a workgroup of THREADS invocations, in a fixed order; all of them call it and get it.
shared float partial_sums[THREADS];

float workgroup_sum(vec4 v)
{
    barrier();                           // a sum before this one has been read by all
    partial_sums[gl_LocalInvocationID.x] = dot(v, vec4(1.0));
    barrier();
    for (uint half_way = THREADS / 2u; half_way > 0u; half_way /= 2u) {
        if (gl_LocalInvocationID.x < half_way)
            partial_sums[gl_LocalInvocationID.x] += partial_sums[gl_LocalInvocationID.x + half_way];
        barrier();
    }
    return partial_sums[0];
}
