// Executes the CUDA source on the CPU, one block of threads after the other.
//
// The threads of a block are fibers: each runs until it has to wait, and then the next one runs.
// At a barrier a fiber waits for its block, and to exchange values between lanes for its warp.  If
// threads read values that others have written since the last barrier, the result depends on the
// order; so the tests run everything in both orders.  Shared memory is NaN until it is written.
// Compiled together with the source, and with the definitions of a variant.
#include <setjmp.h>
#include <stdint.h>
#include <string.h>
#include <ucontext.h>

#include <cmath>
#include <functional>
#include <memory>
#include <utility>
#include <vector>

namespace {

struct Index { int x; };
Index threadIdx, blockIdx, gridDim;

enum State { NEW, EXCHANGES, AT_BARRIER, DONE };

struct Fiber {
    ucontext_t start;
    jmp_buf at;
    std::unique_ptr<char[]> stack;
    State state;
};
std::vector<Fiber> fibers;
std::function<void()> body;
jmp_buf scheduler;
double lanes[1024];

constexpr int WARP = 32;
constexpr size_t STACK = 256 * 1024, POOL = 256 * 1024;
alignas(16) unsigned char shared_memory[POOL];

void wait(State state) {
    fibers[threadIdx.x].state = state;
    if (!_setjmp(fibers[threadIdx.x].at)) _longjmp(scheduler, 1);
}

void run_fiber() {
    body();
    fibers[threadIdx.x].state = DONE;
    _longjmp(scheduler, 1);
}

void resume(int thread) {
    threadIdx.x = thread;
    if (_setjmp(scheduler)) return;
    Fiber& fiber = fibers[thread];
    if (fiber.state != NEW) _longjmp(fiber.at, 1);
    setcontext(&fiber.start);
}

template <typename Number>
Number exchanged(Number x, int distance) {
    lanes[threadIdx.x] = x;
    wait(EXCHANGES);
    const Number found = (Number)lanes[threadIdx.x ^ distance];
    wait(EXCHANGES);
    return found;
}

// Run the lanes of a warp until they wait for others; false if they do not agree on what to do.
bool run_warp(int warp, bool backward, State& state) {
    do {
        for (int k = 0; k < WARP; k++) resume(warp * WARP + (backward ? WARP - 1 - k : k));
        state = fibers[warp * WARP].state;
        for (int k = 0; k < WARP; k++)
            if (fibers[warp * WARP + k].state != state) return false;
    } while (state == EXCHANGES);
    return true;
}

// Whether all threads have reached every barrier, and written only to their memory.
bool run_block(int threads, size_t shared, bool backward) {
    memset(shared_memory, 0xff, POOL);
    for (Fiber& fiber : fibers) {
        fiber.state = NEW;
        getcontext(&fiber.start);
        fiber.start.uc_stack.ss_sp = fiber.stack.get();
        fiber.start.uc_stack.ss_size = STACK;
        makecontext(&fiber.start, run_fiber, 0);
    }
    const int warps = threads / WARP;
    for (int done = 0; done == 0;) {
        for (int k = 0; k < warps; k++) {
            State state;
            if (!run_warp(backward ? warps - 1 - k : k, backward, state)) return false;
            done += state == DONE;
        }
        if (done != 0 && done != warps) return false;
    }
    for (size_t k = shared; k < POOL; k++)
        if (shared_memory[k] != 0xff) return false;
    return true;
}

template <typename... Arguments, size_t... I>
void call(void (*kernel)(Arguments...), void** values, std::index_sequence<I...>) {
    kernel(*(Arguments*)values[I]...);
}

template <typename... Arguments>
int launch(
    void (*kernel)(Arguments...), int blocks, int threads, int shared, void** values, bool backward
) {
    body = [=] { call(kernel, values, std::index_sequence_for<Arguments...>()); };
    fibers = std::vector<Fiber>(threads);
    for (Fiber& fiber : fibers) fiber.stack.reset(new char[STACK]);
    gridDim.x = blocks;
    for (int k = 0; k < blocks; k++) {
        blockIdx.x = backward ? blocks - 1 - k : k;
        if (!run_block(threads, shared, backward)) return 1;
    }
    return 0;
}

}  // namespace

using std::exp;
using std::expm1;
using std::fabs;
using std::isnan;
using std::log;
using std::log1p;
using std::tanh;

#define __device__
#define __global__
#define __launch_bounds__(...)
#define __syncthreads() wait(AT_BARRIER)
#define __shfl_xor_sync(mask, x, distance) exchanged(x, distance)

namespace cuda {
#include SOURCE
}

extern "C" int emulate_evaluate(int blocks, int threads, int shared, void** values, int backward) {
    return launch(cuda::evaluate, blocks, threads, shared, values, backward);
}

extern "C" int emulate_add_up(int blocks, int threads, int shared, void** values, int backward) {
    return launch(cuda::add_up, blocks, threads, shared, values, backward);
}

extern "C" int bytes_of_shared_memory(int n_outputs) { return cuda::shared_bytes(n_outputs); }
