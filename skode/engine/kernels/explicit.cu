/* Networks with explicit schemes: losses, gradients and outputs of many members in one launch.

The formulas are those of steps.py and networks.py.  A block of threads computes a tile of samples
of one member through all layers, forward and backward.  Only the Fi of every layer are stored in
global memory, and the states if y = y⁺ - h Σ bi Fi would not recover them.

The order of sums over samples depends only on shapes: `OuterProducts` sums over a tile, the tiles
of a job are added one after the other, and `add_up` sums over the jobs of a member.  The assignment
of jobs to blocks of threads does not affect the results.

cuda_machine.py inserts products.cuh and functions.cuh before this file.
*/

/* The parts of the flat row of a member, or of its gradient: see Layout. */
template <typename Number>
struct Controls { Number *K, *b, *h, *W, *mu, *V, *nu; };

struct Network {
    int n_layers, n_outputs, n_features;
    bool lifted, nonlinear_lift, states_stored, learn_step;
    Loss loss;
    REAL skip;
    const REAL* tableau;  // the rows of A, then b
};

struct Samples {
    int number;
    const REAL* X;
    long long sample_stride, feature_stride;
    const REAL *targets, *weights;
    const long long* group;             // null without folds
    const REAL *train, *held_out;       // weights of the groups in the split of the member
};

template <typename Number>
__device__ inline Controls<Number> controls(Number* flat, const Network& net) {
    const int N = net.n_layers, n = N_CHANNELS;
    Controls<Number> U;
    U.K = flat;
    U.b = U.K + N * n * n;
    U.h = U.b + N * n;
    U.W = U.h + N;
    U.mu = U.W + net.n_outputs * n;
    U.V = U.mu + net.n_outputs;
    U.nu = U.V + n * (net.lifted ? net.n_features : 0);
    return U;
}

/* The memory of a block of threads for the backward pass: the Fi of every layer, and its state.
   A thread only reads values that it has written itself. */
struct Record {
    REAL* memory;
    int parts_of_layer;

    __device__ REAL* part(int layer, int i) const {
        const long long before = layer * parts_of_layer + i;
        return memory + before * (CHANNELS * SAMPLES) + threadIdx.x;
    }
    __device__ void store(int layer, int i, const Part& x) const {
        REAL* to = part(layer, i);
        FOR_PART(a, q) to[(a * THREAD_SAMPLES + q) * THREADS] = x.at[a][q];
    }
    /* The stored values; zero for samples without weight, whose values may not be finite. */
    __device__ Part load(int layer, int i, const bool* trained) const {
        const REAL* from = part(layer, i);
        Part x;
        FOR_PART(a, q)
            x.at[a][q] = trained[first_sample() + q] ? from[(a * THREAD_SAMPLES + q) * THREADS] : 0;
        return x;
    }
};

/* Yi = y + h Σj aij Fj. */
__device__ inline Part stage(const Part& y, REAL h, const REAL* A, const Part* F, int i) {
    Part Y = {};
#pragma unroll STAGES_AT_ONCE
    for (int j = 0; j < i; j++) {
        const REAL a = A[i * N_STAGES + j];
        if (a != 0) FOR_PART(c, q) Y.at[c][q] += a * F[j].at[c][q];
    }
    FOR_PART(c, q) Y.at[c][q] = y.at[c][q] + h * Y.at[c][q];
    return Y;
}

/* h Σi bi Fi. */
__device__ inline Part increment(REAL h, const REAL* b, const Part* F) {
    Part sum = {};
#pragma unroll STAGES_AT_ONCE
    for (int i = 0; i < N_STAGES; i++)
        if (b[i] != 0) FOR_PART(c, q) sum.at[c][q] += b[i] * F[i].at[c][q];
    FOR_PART(c, q) sum.at[c][q] *= h;
    return sum;
}

/* One tile of samples on its way through the network of one member. */
struct Pass {
    const Network& net;
    const Samples& samples;
    const Shared& at;
    const Record& record;
    Controls<const REAL> U;
    int first;  // sample of the tile

    /* Whether some sample of the tile has a weight in one of both losses; the same in all threads. */
    __device__ bool has_weight() const {
        const int sample = first + (int)threadIdx.x;
        double some = 0;
        if (threadIdx.x < SAMPLES && sample < samples.number) {
            const long long group = samples.group[sample];
            const REAL w = samples.weights[sample];
            some = samples.train[group] * w > 0 || samples.held_out[group] * w > 0;
        }
        return sum_over_threads(some, at.warps) > 0;
    }

    /* The features `from`, `from` + 1, … as channels; zeros beyond. */
    __device__ Part features(int from) const {
        Part x;
        FOR_PART(a, q) {
            const int channel = first_channel() + a, sample = first + first_sample() + q;
            const bool inside = sample < samples.number && channel < N_CHANNELS
                                && from + channel < net.n_features;
            x.at[a][q] = inside ? samples.X[sample * samples.sample_stride
                                            + (from + channel) * samples.feature_stride]
                                : (REAL)0;
        }
        return x;
    }

    __device__ int n_features_from(int from) const {
        return net.n_features - from < N_CHANNELS ? net.n_features - from : N_CHANNELS;
    }

    /* y⁰ = σ₀(V x + ν), from N_CHANNELS features at a time, or x with zeros below. */
    __device__ Part lift() const {
        if (!net.lifted) return features(0);
        Part y;
        for (int from = 0; from < net.n_features; from += N_CHANNELS) {
            const Part x = features(from);
            __syncthreads();
            load(at.K, U.V + from, U.nu, n_features_from(from), net.n_features);
            if (!NARROW) put(at.Y, x);
            __syncthreads();
            if (from == 0) FOR_PART(a, q) y.at[a][q] = at.K[(first_channel() + a) * K_ROW + BIAS];
            add_product(y, at.K, x, at.Y);
        }
        if (net.nonlinear_lift)
            FOR_PART(a, q) y.at[a][q] = activation(code_of(first_channel() + a), y.at[a][q]);
        return y;
    }

    /* y⁺ = α y + h Σ bi Fi with Fi = σ(K Yi + b). */
    __device__ void step(int layer, Part& y, bool recorded) const {
        const REAL h = U.h[layer], *A = net.tableau, *b = A + N_STAGES * N_STAGES;
        Part F[N_STAGES];
        if (recorded && net.states_stored) record.store(layer, N_STAGES, y);
#pragma unroll STAGES_AT_ONCE
        for (int i = 0; i < N_STAGES; i++) {
            const Part Y = stage(y, h, A, F, i);
            if (i == 0 || !NARROW) {
                __syncthreads();
                if (i == 0)
                    load(at.K, U.K + (long long)layer * N_CHANNELS * N_CHANNELS,
                         U.b + layer * N_CHANNELS, N_CHANNELS, N_CHANNELS);
                if (!NARROW) put(at.Y, Y);
                __syncthreads();
            }
            Part Z;
            FOR_PART(a, q) Z.at[a][q] = at.K[(first_channel() + a) * K_ROW + BIAS];
            add_product(Z, at.K, Y, at.Y);
            FOR_PART(a, q) F[i].at[a][q] = activation(code_of(first_channel() + a), Z.at[a][q]);
            if (recorded) record.store(layer, i, F[i]);
        }
        const Part rise = increment(h, b, F);
        FOR_PART(a, q) y.at[a][q] = net.skip * y.at[a][q] + rise.at[a][q];
    }

    /* z = W yᴺ + μ in shared memory, and in the outputs if they are requested. */
    __device__ void readout(const Part& y, REAL* outputs) const {
        __syncthreads();
        put(at.Y, y);
        __syncthreads();
        for (int k = threadIdx.x; k < net.n_outputs * SAMPLES; k += THREADS) {
            const int output = k / SAMPLES, sample = k % SAMPLES;
            REAL z = U.mu[output];
#pragma unroll 8
            for (int i = 0; i < N_CHANNELS; i++)
                z += U.W[output * N_CHANNELS + i] * at.Y[i * ROW + sample];
            at.G[output * ROW + sample] = z;
            if (outputs && first + sample < samples.number)
                outputs[(long long)output * samples.number + first + sample] = z;
        }
        __syncthreads();
    }

    /* Add the losses of the thread's sample, and turn its outputs into ∂J/∂z. */
    __device__ void add_losses(double& loss, double& held_out) const {
        const int sample = first + (int)threadIdx.x;
        if (threadIdx.x < SAMPLES) {
            REAL* z = at.G + threadIdx.x;
            REAL w = 0, w_held_out = 0, value = 0;
            if (sample < samples.number) {
                w = samples.weights[sample];
                if (samples.group) {
                    const long long group = samples.group[sample];
                    w_held_out = samples.held_out[group] * w;
                    w = samples.train[group] * w;
                }
                const REAL* c = samples.targets + (long long)sample * net.n_outputs;
                value = loss_and_derivative(net.loss, z, c, net.n_outputs);
            }
            // Samples without weight may not be finite.
            if (w > 0) loss += w * value;
            if (w_held_out > 0) held_out += w_held_out * value;
            for (int k = 0; k < net.n_outputs; k++) z[k * ROW] = w > 0 ? w * z[k * ROW] : (REAL)0;
            at.trained[threadIdx.x] = w > 0;
        }
        __syncthreads();
    }

    /* pᴺ = Wᵀ ∂J/∂z; and ∂J/∂W, ∂J/∂μ. */
    __device__ Part readout_adjoint(Part& y, const Controls<REAL>& dU, bool first_tile) const {
        FOR_PART(a, q) y.at[a][q] = at.trained[first_sample() + q] ? y.at[a][q] : (REAL)0;
        put(at.Y, y);
        __syncthreads();
        for (int from = 0; from < net.n_outputs; from += BLOCK) {
            const int n_rows = net.n_outputs - from < BLOCK ? net.n_outputs - from : BLOCK;
            OuterProducts sum;
            sum.add_tile(at.G + from * ROW, at.Y, n_rows, N_CHANNELS);
            sum.add_to(dU.W + from * N_CHANNELS, dU.mu + from, n_rows, N_CHANNELS, N_CHANNELS, 1,
                       first_tile);
        }
        Part p = {};
        for (int k = 0; k < net.n_outputs; k++)
            FOR_PART(a, q) {
                const int channel = first_channel() + a, sample = first_sample() + q;
                if (channel < N_CHANNELS)
                    p.at[a][q] += U.W[k * N_CHANNELS + channel] * at.G[k * ROW + sample];
            }
        return p;
    }

    /* p = α p⁺ + Σ Vi with Γi = bi p⁺ + Σ aji Vj, Gi = σ′i∘Γi, Vi = h Kᵀ Gi; the state y from y⁺;
       and ∂J/∂(K, b, h). */
    __device__ void step_adjoint(
        int layer, Part& y, Part& p, const Controls<REAL>& dU, bool first_tile
    ) const {
        const REAL h = U.h[layer], *A = net.tableau, *b = A + N_STAGES * N_STAGES;
        Part F[N_STAGES], V[N_STAGES], before;
#pragma unroll STAGES_AT_ONCE
        for (int i = 0; i < N_STAGES; i++) F[i] = record.load(layer, i, at.trained);
        if (net.states_stored) {
            y = record.load(layer, N_STAGES, at.trained);
        } else {
            const Part rise = increment(h, b, F);
            FOR_PART(a, q) y.at[a][q] -= rise.at[a][q];
        }
        FOR_PART(a, q) before.at[a][q] = net.skip * p.at[a][q];
        OuterProducts sum;
        REAL dh = 0;
#pragma unroll STAGES_AT_ONCE
        for (int i = N_STAGES - 1; i >= 0; i--) {
            Part G;
            FOR_PART(a, q) G.at[a][q] = b[i] * p.at[a][q];
#pragma unroll STAGES_AT_ONCE
            for (int j = i + 1; j < N_STAGES; j++)
                if (A[j * N_STAGES + i] != 0)
                    FOR_PART(a, q) G.at[a][q] += A[j * N_STAGES + i] * V[j].at[a][q];
            FOR_PART(a, q) {
                dh += F[i].at[a][q] * G.at[a][q];
                G.at[a][q] *= derivative(code_of(first_channel() + a), F[i].at[a][q]);
            }
            const Part Y = stage(y, h, A, F, i);
            __syncthreads();
            if (i == N_STAGES - 1)
                load(at.K, U.K + (long long)layer * N_CHANNELS * N_CHANNELS, nullptr, N_CHANNELS,
                     N_CHANNELS);
            put(at.G, G);
            put(at.Y, Y);
            __syncthreads();
            if (i > 0 || layer > 0 || net.lifted) {  // p⁰ is only used by a lift
                Part product = {};
                add_transposed_product(product, at.K, G, at.G);
                FOR_PART(a, q) {
                    V[i].at[a][q] = h * product.at[a][q];
                    before.at[a][q] += V[i].at[a][q];
                }
            }
            sum.add_tile(at.G, at.Y, N_CHANNELS, N_CHANNELS);
        }
        p = before;
        sum.add_to(dU.K + (long long)layer * N_CHANNELS * N_CHANNELS, dU.b + layer * N_CHANNELS,
                   N_CHANNELS, N_CHANNELS, N_CHANNELS, h, first_tile);
        const double total = net.learn_step ? sum_over_threads(dh, at.warps) : 0;
        if (threadIdx.x == 0) add(dU.h[layer], (REAL)total, first_tile);
    }

    /* ∂J/∂V and ∂J/∂ν from p⁰. */
    __device__ void lift_adjoint(
        const Part& y, Part& p, const Controls<REAL>& dU, bool first_tile
    ) const {
        if (net.nonlinear_lift)
            FOR_PART(a, q) p.at[a][q] *= derivative(code_of(first_channel() + a), y.at[a][q]);
        for (int from = 0; from < net.n_features; from += N_CHANNELS) {
            Part x = features(from);
            FOR_PART(a, q) x.at[a][q] = at.trained[first_sample() + q] ? x.at[a][q] : (REAL)0;
            __syncthreads();
            if (from == 0) put(at.G, p);
            put(at.Y, x);
            __syncthreads();
            OuterProducts sum;
            sum.add_tile(at.G, at.Y, N_CHANNELS, n_features_from(from));
            sum.add_to(dU.V + from, from == 0 ? dU.nu : nullptr, N_CHANNELS, n_features_from(from),
                       net.n_features, 1, first_tile);
        }
    }
};

/* The sums of every job, which is every n_jobs-th tile of a member; or all its outputs.

   Null pointers: group, train, held_out and split without folds; gradients and memory if the
   gradient is not requested; outputs (members, n_outputs, samples) if losses are requested. */
extern "C" __global__ void __launch_bounds__(THREADS, BLOCKS_AT_ONCE) evaluate(
    int n_layers, int n_outputs, int n_features, int lifted, int nonlinear_lift, int states_stored,
    int learn_step, int loss, REAL width, REAL quantile, REAL skip, const REAL* tableau,
    int n_samples, const REAL* X, long long sample_stride, long long feature_stride,
    const REAL* targets, const REAL* weights,
    const long long* group, const REAL* train, const REAL* held_out, const long long* split,
    int n_groups, int n_members, const REAL* flat, int size, int n_jobs,
    REAL* memory, REAL* gradients, double* losses, REAL* outputs
) {
    const Network net = {n_layers, n_outputs, n_features, lifted != 0, nonlinear_lift != 0,
                         states_stored != 0, learn_step != 0, {loss, width, quantile}, skip,
                         tableau};
    const Shared at = shared(n_outputs);
    const int parts_of_layer = N_STAGES + (states_stored != 0);
    const Record record = {
        memory + (long long)blockIdx.x * n_layers * parts_of_layer * (CHANNELS * SAMPLES),
        parts_of_layer};
    const int n_tiles = (n_samples + SAMPLES - 1) / SAMPLES;
    for (long long job = blockIdx.x; job < (long long)n_members * n_jobs; job += gridDim.x) {
        const int member = job / n_jobs, first_tile = job % n_jobs;
        const long long table = group ? split[member] * n_groups : 0;
        const Samples samples = {n_samples, X, sample_stride, feature_stride, targets, weights,
                                 group, train + table, held_out + table};
        const Controls<REAL> dU = controls(gradients + job * size, net);
        double loss_of_job = 0, held_out_of_job = 0;
        bool none = true;  // of its tiles has been computed
        for (int tile = first_tile; tile < n_tiles; tile += n_jobs) {
            const Pass pass = {net, samples, at, record,
                               controls(flat + (long long)member * size, net), tile * SAMPLES};
            if (group && !pass.has_weight()) continue;
            Part y = pass.lift();
            for (int layer = 0; layer < n_layers; layer++) pass.step(layer, y, gradients);
            const long long before = (long long)member * n_outputs * n_samples;
            pass.readout(y, outputs ? outputs + before : nullptr);
            if (outputs) continue;
            pass.add_losses(loss_of_job, held_out_of_job);
            if (!gradients) continue;
            Part p = pass.readout_adjoint(y, dU, none);
            for (int layer = n_layers - 1; layer >= 0; layer--)
                pass.step_adjoint(layer, y, p, dU, none);
            if (lifted) pass.lift_adjoint(y, p, dU, none);
            none = false;
        }
        if (outputs) continue;
        loss_of_job = sum_over_threads(loss_of_job, at.warps);
        held_out_of_job = sum_over_threads(held_out_of_job, at.warps);
        if (threadIdx.x == 0) {
            losses[3 * job] = loss_of_job;
            losses[3 * job + 1] = held_out_of_job;
            losses[3 * job + 2] = !none;  // whether it has a gradient
        }
    }
}

/* Add up the jobs of every member, ADDERS at a time: both losses, then `size` sums of the gradient.

   A block of threads has 32 columns, and each row of threads adds every ADDERS-th job. */
extern "C" __global__ void __launch_bounds__(32 * ADDERS) add_up(
    int n_jobs, int size, const double* losses, const REAL* gradients,
    double* loss, double* held_out, REAL* gradient
) {
    double* sums = (double*)shared_memory;
    const int n_blocks = (2 + size + 31) / 32, member = blockIdx.x / n_blocks;
    const int k = blockIdx.x % n_blocks * 32 + threadIdx.x % 32 - 2;
    double sum = 0;
    if (k < size)
        for (long long job = threadIdx.x / 32; job < n_jobs; job += ADDERS) {
            const long long row = (long long)member * n_jobs + job;
            if (k < 0)
                sum += losses[3 * row + 2 + k];
            else if (losses[3 * row + 2] != 0)
                sum += gradients[row * size + k];
        }
    sums[threadIdx.x] = sum;
    __syncthreads();
    if (threadIdx.x >= 32 || k >= size) return;
    for (int row = 1; row < ADDERS; row++) sum += sums[32 * row + threadIdx.x];
    if (k >= 0)
        gradient[(long long)member * size + k] = sum;
    else if (k == -2)
        loss[member] = sum;
    else if (held_out)
        held_out[member] = isnan(sum) ? 1.0 / 0.0 : sum;
}
