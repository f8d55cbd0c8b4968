/* Distribution of a tile of samples over the threads of a block, and their joint products and sums.

A block of threads processes one tile of samples.  Each thread holds the states of THREAD_CHANNELS
channels and THREAD_SAMPLES samples in registers (a `Part`):

- narrow networks: a thread has all channels of one sample, and computes K Y without other threads;
- wide networks: there are CHANNEL_THREADS rows of threads, and K Y is computed from shared memory,
  by squares in registers.

cuda_machine.py defines REAL, N_CHANNELS, N_STAGES and the four numbers of this distribution.
*/

#define FOR_PART(a, q)                                                            \
    _Pragma("unroll") for (int a = 0; a < THREAD_CHANNELS; a++)                   \
        _Pragma("unroll") for (int q = 0; q < THREAD_SAMPLES; q++)

__device__ constexpr int rounded_up(int number, int multiple) {
    return (number + multiple - 1) / multiple * multiple;
}

__device__ constexpr int largest_power_of_two(int limit) {
    int power = 1;
    while (2 * power <= limit) power *= 2;
    return power;
}

constexpr bool NARROW = CHANNEL_THREADS == 1;
constexpr int VECTOR = 16 / sizeof(REAL);  // numbers that are read at once
// For a tile.  Wide networks may be padded with further channels, whose entries of K are zero.
constexpr int CHANNELS = CHANNEL_THREADS * THREAD_CHANNELS;
constexpr int SAMPLES = THREADS / CHANNEL_THREADS * THREAD_SAMPLES;

// Rows in shared memory are padded by a vector, so that they begin in different banks.  The padding
// of a row of K holds its entry of b.
constexpr int BIAS = rounded_up(CHANNELS, VECTOR);
constexpr int K_ROW = BIAS + VECTOR;
constexpr int ROW = SAMPLES + VECTOR;

// Σ G Yᵀ over the samples of a tile: a thread adds up SIDE_OF_THREAD² entries, and GROUPS threads
// in a row do so for different samples.
constexpr int SIDE_OF_THREAD = NARROW ? (N_CHANNELS < 4 ? N_CHANNELS : 4) : THREAD_CHANNELS;
constexpr int SIDE = (N_CHANNELS + SIDE_OF_THREAD - 1) / SIDE_OF_THREAD;
constexpr int GROUPS_AT_MOST = largest_power_of_two(THREADS / (SIDE * SIDE));
constexpr int GROUPS = GROUPS_AT_MOST < 32 ? GROUPS_AT_MOST : 32;
constexpr int BLOCK = SIDE * SIDE_OF_THREAD;  // rows and columns of all threads together
constexpr int ROWS = CHANNELS > BLOCK ? CHANNELS : BLOCK;

// Blocks of threads per multiprocessor: as many as the registers allow.
constexpr int BYTES = (NARROW ? N_CHANNELS : SIDE_OF_THREAD * SIDE_OF_THREAD) * sizeof(REAL);
constexpr int BLOCKS_OF_WIDE = BYTES <= 72 ? 2 : 1;
constexpr int BLOCKS_OF_NARROW = BYTES <= 32 ? 4 : BYTES <= 64 ? 3 : 2;
constexpr int BLOCKS_AT_ONCE = NARROW ? BLOCKS_OF_NARROW : BLOCKS_OF_WIDE;

// Small arrays over the stages stay in registers.
constexpr int REGISTERS_FOR_STAGES = 32 / (sizeof(REAL) / 4);
constexpr int STAGES_AT_ONCE =
    N_STAGES * THREAD_CHANNELS * THREAD_SAMPLES <= REGISTERS_FOR_STAGES ? N_STAGES : 1;

static_assert(SIDE * SIDE <= THREADS, "a thread has one square of the entries");
static_assert(SAMPLES % VECTOR == 0 && SAMPLES <= THREADS && THREADS % 32 == 0, "whole vectors");

struct Part { REAL at[THREAD_CHANNELS][THREAD_SAMPLES]; };
struct alignas(16) Vector { REAL at[VECTOR]; };

struct Shared {
    double* warps;   // for sums over all threads
    REAL *K, *G, *Y;
    bool* trained;   // which samples of the tile have a weight
};

extern __shared__ __align__(16) unsigned char shared_memory[];

/* Rows of G, which holds the outputs as well. */
__device__ constexpr int rows_of_G(int n_outputs) {
    return rounded_up(n_outputs, BLOCK) > ROWS ? rounded_up(n_outputs, BLOCK) : ROWS;
}

/* The bytes of `Shared`: cuda_machine.py computes the same number. */
__device__ constexpr int shared_bytes(int n_outputs) {
    const int numbers = CHANNELS * K_ROW + (rows_of_G(n_outputs) + ROWS) * ROW;
    const int warps = rounded_up(THREADS / 32, 2) * (int)sizeof(double);
    return warps + numbers * (int)sizeof(REAL) + SAMPLES;
}

__device__ inline Shared shared(int n_outputs) {
    Shared s;
    s.warps = (double*)shared_memory;
    s.K = (REAL*)(s.warps + rounded_up(THREADS / 32, 2));
    s.G = s.K + CHANNELS * K_ROW;
    s.Y = s.G + rows_of_G(n_outputs) * ROW;
    s.trained = (bool*)(s.Y + ROWS * ROW);
    return s;
}

__device__ inline int first_channel() {
    return NARROW ? 0 : (int)threadIdx.x / (THREADS / CHANNEL_THREADS) * THREAD_CHANNELS;
}

__device__ inline int first_sample() {
    return (int)threadIdx.x % (THREADS / CHANNEL_THREADS) * THREAD_SAMPLES;
}

/* The sum over all threads, for each of them.  The threads are synchronised before the next sum. */
__device__ inline double sum_over_threads(double x, double* warps) {
    for (int distance = 16; distance; distance /= 2) x += __shfl_xor_sync(~0u, x, distance);
    __syncthreads();
    if (threadIdx.x % 32 == 0) warps[threadIdx.x / 32] = x;
    __syncthreads();
    double sum = 0;
    for (int k = 0; k < THREADS / 32; k++) sum += warps[k];
    return sum;
}

/* The first tile of a job sets its sums; the others add to them. */
__device__ inline void add(REAL& sum, REAL x, bool first) { sum = first ? x : sum + x; }

/* A matrix with a vector after its rows, padded with zeros to CHANNELS rows and columns. */
__device__ inline void load(
    REAL* K, const REAL* matrix, const REAL* vector, int n_columns, int stride
) {
#pragma unroll 4
    for (int k = threadIdx.x; k < CHANNELS * CHANNELS; k += THREADS) {
        const int i = k / CHANNELS, j = k % CHANNELS;
        const bool inside = i < N_CHANNELS && j < n_columns;
        K[i * K_ROW + j] = inside ? matrix[(long long)i * stride + j] : (REAL)0;
    }
    for (int i = threadIdx.x; i < CHANNELS; i += THREADS)
        K[i * K_ROW + BIAS] = vector && i < N_CHANNELS ? vector[i] : (REAL)0;
}

/* Write the states where other threads can read them. */
__device__ inline void put(REAL* Y, const Part& part) {
    FOR_PART(a, q) Y[(first_channel() + a) * ROW + first_sample() + q] = part.at[a][q];
}

/* Z += K Y, from the thread's own Y in narrow networks, from that in shared memory in wide ones. */
__device__ inline void add_product(Part& Z, const REAL* K, const Part& own, const REAL* Y) {
    constexpr int AT_ONCE = NARROW ? BIAS / VECTOR : 1;
#pragma unroll AT_ONCE
    for (int j = 0; j < CHANNELS; j += VECTOR) {
        REAL y[VECTOR][THREAD_SAMPLES];
#pragma unroll
        for (int v = 0; v < VECTOR; v++)
#pragma unroll
            for (int q = 0; q < THREAD_SAMPLES && j + v < CHANNELS; q++)
                if constexpr (NARROW)
                    y[v][q] = own.at[j + v][q];
                else
                    y[v][q] = Y[(j + v) * ROW + first_sample() + q];
#pragma unroll
        for (int a = 0; a < THREAD_CHANNELS; a++) {
            const Vector k = *(const Vector*)(K + (first_channel() + a) * K_ROW + j);
#pragma unroll
            for (int v = 0; v < VECTOR; v++)
#pragma unroll
                for (int q = 0; q < THREAD_SAMPLES && j + v < CHANNELS; q++)
                    Z.at[a][q] += k.at[v] * y[v][q];
        }
    }
}

/* Z += Kᵀ G. */
__device__ inline void add_transposed_product(
    Part& Z, const REAL* K, const Part& own, const REAL* G
) {
    constexpr int AT_ONCE = NARROW ? CHANNELS : 4;
#pragma unroll AT_ONCE
    for (int i = 0; i < CHANNELS; i++) {
        REAL g[THREAD_SAMPLES];
#pragma unroll
        for (int q = 0; q < THREAD_SAMPLES; q++)
            if constexpr (NARROW)
                g[q] = own.at[i][q];
            else
                g[q] = G[i * ROW + first_sample() + q];
        FOR_PART(a, q) Z.at[a][q] += K[i * K_ROW + first_channel() + a] * g[q];
    }
}

/* Σ G Yᵀ and Σ G over samples: the entries (row + a SIDE, column + c SIDE) of a thread. */
struct OuterProducts {
    REAL matrix[SIDE_OF_THREAD][SIDE_OF_THREAD] = {}, vector[SIDE_OF_THREAD] = {};

    static __device__ int row() { return (int)threadIdx.x / GROUPS / SIDE; }
    static __device__ int column() { return (int)threadIdx.x / GROUPS % SIDE; }

    /* Add the products of a tile, for its first rows and columns. */
    __device__ void add_tile(const REAL* G, const REAL* Y, int n_rows, int n_columns) {
        if (row() >= SIDE || row() >= n_rows || column() >= n_columns) return;
        G += row() * ROW;
        Y += column() * ROW;
        for (int k = threadIdx.x % GROUPS * VECTOR; k < SAMPLES; k += GROUPS * VECTOR) {
            Vector g[SIDE_OF_THREAD];
#pragma unroll
            for (int a = 0; a < SIDE_OF_THREAD; a++) {
                g[a] = *(const Vector*)(G + a * SIDE * ROW + k);
#pragma unroll
                for (int v = 0; v < VECTOR; v++) vector[a] += g[a].at[v];
            }
#pragma unroll
            for (int c = 0; c < SIDE_OF_THREAD; c++) {
                const Vector y = *(const Vector*)(Y + c * SIDE * ROW + k);
#pragma unroll
                for (int a = 0; a < SIDE_OF_THREAD; a++)
#pragma unroll
                    for (int v = 0; v < VECTOR; v++) matrix[a][c] += g[a].at[v] * y.at[v];
            }
        }
    }

    /* Add `factor` times the sums of all groups to the sums of the job, including those of the
       vector if there is one. */
    __device__ void add_to(
        REAL* of_matrix, REAL* of_vector, int n_rows, int n_columns, int stride, REAL factor,
        bool first
    ) {
        for (int distance = GROUPS / 2; distance; distance /= 2)
#pragma unroll
            for (int a = 0; a < SIDE_OF_THREAD; a++) {
                vector[a] += __shfl_xor_sync(~0u, vector[a], distance);
#pragma unroll
                for (int c = 0; c < SIDE_OF_THREAD; c++)
                    matrix[a][c] += __shfl_xor_sync(~0u, matrix[a][c], distance);
            }
        if (row() >= SIDE || threadIdx.x % GROUPS) return;
#pragma unroll
        for (int a = 0; a < SIDE_OF_THREAD; a++) {
            const int i = row() + a * SIDE;
            if (i >= n_rows) continue;
            if (of_vector && column() == 0) add(of_vector[i], factor * vector[a], first);
#pragma unroll
            for (int c = 0; c < SIDE_OF_THREAD; c++) {
                const int j = column() + c * SIDE;
                if (j < n_columns)
                    add(of_matrix[(long long)i * stride + j], factor * matrix[a][c], first);
            }
        }
    }
};
