/* Times the window with a full house, on whatever display there is:
 *
 *     bench_window FOLDER [MODEL.safetensors]
 *
 * fills FOLDER (kept, so that a second run is quick) with 1000 LoRAs and 500 pictures, opens the window on them, and prints
 * what a frame takes while the mouse moves (processor time of all threads, and wall time), the first and the longest frame while lists
 * and thumbnails are read, and the share of one processor that it takes while nothing happens. */
#include <SDL.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "window/window.h"

enum { LORAS = 1000, PICTURES = 500, FRAMES = 300, SETTLE_S = 10, IDLE_S = 8 };

static double cpu_ms(void)
{
    struct rusage r;
    getrusage(RUSAGE_SELF, &r);
    return (double)(r.ru_utime.tv_sec + r.ru_stime.tv_sec) * 1e3 + (double)(r.ru_utime.tv_usec + r.ru_stime.tv_usec) / 1e3;
}

/* Of the window's own thread. */
static double own_ms(void)
{
    struct timespec t;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
    return (double)t.tv_sec * 1e3 + (double)t.tv_nsec / 1e6;
}

static double wall_ms(void)
{
    return (double)SDL_GetPerformanceCounter() * 1e3 / (double)SDL_GetPerformanceFrequency();
}

/* ---- the full house ---- */

/* A LoRA of one 1x1 module: enough for a name and a card. */
static void write_lora(const char *path, int number)
{
    char header[600];
    int length = snprintf(header, sizeof header,
                          "{\"__metadata__\":{\"modelspec.trigger_phrase\":\"style %d\"},"
                          "\"lora_unet_input_blocks_1_1_proj_in.lora_down.weight\":{\"dtype\":\"F32\",\"shape\":[1,320,1,1],\"data_offsets\":[0,1280]},"
                          "\"lora_unet_input_blocks_1_1_proj_in.lora_up.weight\":{\"dtype\":\"F32\",\"shape\":[320,1,1,1],\"data_offsets\":[1280,2560]}}", number);
    unsigned char size[8] = { (unsigned char)(length & 255), (unsigned char)(length >> 8) }, values[2560] = { 0 };
    FILE *f = fopen(path, "wb");

    if (!f) return;
    fwrite(size, 1, sizeof size, f);
    fwrite(header, 1, (size_t)length, f);
    fwrite(values, 1, sizeof values, f);
    fclose(f);
}

static void write_picture(const char *path, int number)
{
    enum { SIDE = 512 };
    static unsigned char rgb[SIDE * SIDE * 3];
    static char recipe[] = "sea\nSteps: 20, Sampler: Euler a, CFG scale: 7, Seed: 1, Size: 512x512";
    struct tinct_image image = { .width = SIDE, .height = SIDE, .rgb = rgb, .infotext = recipe };
    struct tinct_err err;

    for (int i = 0; i < SIDE * SIDE * 3; i++) rgb[i] = (unsigned char)(i / 3 % SIDE * number / 50 + i / SIDE / 6 + i % 3 * 40);
    if (!tinct_image_save(&image, path, true, &err)) fprintf(stderr, "%s\n", err.text);
}

static void fill(const char *folder, const char *sub, const char *pattern, int count, void (*write)(const char *path, int number))
{
    char path[2000];

    snprintf(path, sizeof path, "%s/%s", folder, sub);
    mkdir(path, 0777);
    for (int i = 0; i < count; i++) {
        snprintf(path, sizeof path, pattern, folder, sub, i);
        if (access(path, F_OK) != 0) write(path, i);
    }
}

/* ---- the window ---- */

static bool no_path(const void *user, char *path, size_t size, int index, int64_t seed)
{
    (void)user, (void)path, (void)size, (void)index, (void)seed;
    return false;
}

static Uint32 wake_up(Uint32 interval, void *user)
{
    SDL_Event e = { .type = SDL_USEREVENT };
    (void)interval, (void)user;
    SDL_PushEvent(&e);
    return 0;
}

static void move_mouse(int step)
{
    SDL_Event e = { .motion = { .type = SDL_MOUSEMOTION, .x = 100 + step % 200, .y = 400 + step % 60 } };
    SDL_PushEvent(&e);
}

static int by_size(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

/* Frames one after the other; each time in *ms. */
static void frames(struct window *w, double *ms, int count)
{
    for (int i = 0; i < count; i++) {
        move_mouse(i);
        double began = wall_ms();
        window_frame(w);
        ms[i] = wall_ms() - began;
    }
    qsort(ms, (size_t)count, sizeof *ms, by_size);
}

static void measure(struct window *w)
{
    static double ms[FRAMES];
    double began = wall_ms(), longest = 0, busiest = 0, cpu;
    int count = 0;

    for (; wall_ms() - began < SETTLE_S * 1e3; count++) {
        move_mouse(count);
        double at = wall_ms(), own = own_ms();
        window_frame(w);
        longest = wall_ms() - at > longest ? wall_ms() - at : longest;
        busiest = own_ms() - own > busiest ? own_ms() - own : busiest;
        if (!count) printf("the first frame: %.1f ms, %.1f ms of it busy\n", longest, busiest);
        if (!count) longest = busiest = 0;
        SDL_Delay(10);
    }
    printf("while it is read, %d s: longest frame %.1f ms, busiest %.1f ms\n", SETTLE_S, longest, busiest);
    cpu = cpu_ms();
    frames(w, ms, FRAMES);
    printf("a frame: median %.1f ms, 99 of 100 below %.1f ms, %.1f ms of processor time\n", ms[FRAMES / 2], ms[FRAMES * 99 / 100],
           (cpu_ms() - cpu) / FRAMES);
    for (int i = 0; i < 3; i++) window_frame(w);
    cpu = cpu_ms();
    SDL_AddTimer(IDLE_S * 1000, wake_up, NULL);
    window_frame(w);
    printf("idle, %d s: %.2f %% of a processor\n", IDLE_S, (cpu_ms() - cpu) / (IDLE_S * 10.0));
}

int main(int argc, char **argv)
{
    char loras[1000], pictures[1000];
    struct tinct_err err;

    if (argc < 2 || strlen(argv[1]) > 900) return fprintf(stderr, "bench_window FOLDER [MODEL.safetensors]\n"), 2;
    mkdir(argv[1], 0777);
    fill(argv[1], "loras", "%s/%s/style-%04d.safetensors", LORAS, write_lora);
    fill(argv[1], "out", "%s/%s/%05d-1.png", PICTURES, write_picture);
    snprintf(loras, sizeof loras, "%s/loras", argv[1]);
    snprintf(pictures, sizeof pictures, "%s/out", argv[1]);
    struct window_options options = { .open = { .model = argc > 2 ? argv[2] : NULL }, .picture.seed = -1, .lora_dir = loras,
                                      .output_dir = pictures, .path = no_path };
    struct window *w = window_open(&options, &err);
    if (!w) return fprintf(stderr, "%s\n", err.text), 1;
    measure(w);
    window_close(w);
    return 0;
}
