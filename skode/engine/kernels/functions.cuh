/* Activations and losses, as activations.py and losses.py define them. */

enum { IDENTITY, TANH, RELU, SOFTPLUS };
enum { LOGISTIC, SOFTMAX, LOGISTIC_SQUARED, SQUARED, HUBER, QUANTILE, POISSON };

/* The loss by its code, and its width and quantile. */
struct Loss { int code; REAL width, quantile; };

/* σ(z); NaN stays NaN. */
__device__ inline REAL activation(int code, REAL z) {
    switch (code) {
        case TANH: return tanh(z);
        case RELU: return z < 0 ? (REAL)0 : z;
        case SOFTPLUS: return (z > 0 ? z : (REAL)0) + log1p(exp(-fabs(z)));
        default: return z;
    }
}

/* σ′(z) from s = σ(z). */
__device__ inline REAL derivative(int code, REAL s) {
    switch (code) {
        case TANH: return 1 - s * s;
        case RELU: return s > 0 ? (REAL)1 : s;  // s is zero here, or NaN
        case SOFTPLUS: return -expm1(-s);
        default: return 1;
    }
}

__device__ inline int code_of(int channel) {
    return FIRST == SECOND || channel < (N_CHANNELS + 1) / 2 ? FIRST : SECOND;
}

__device__ inline REAL logistic(REAL z) {
    const REAL e = exp(-fabs(z));
    return (z < 0 ? e : (REAL)1) / (1 + e);
}

/* log Σ exp z over the outputs of one sample, which are ROW apart. */
__device__ inline REAL log_sum_exp(const REAL* z, int n_outputs) {
    REAL top = z[0], sum = 0;
    for (int k = 1; k < n_outputs; k++) top = z[k * ROW] > top ? z[k * ROW] : top;
    for (int k = 0; k < n_outputs; k++) sum += exp(z[k * ROW] - top);
    return top + log(sum);
}

/* The nearest number to x from -size to size; NaN stays. */
__device__ inline REAL cut_off(REAL x, REAL size) {
    x = x < -size ? -size : x;
    return x > size ? size : x;
}

/* ℓ(z, c) of one sample; z becomes ∂ℓ/∂z. */
__device__ inline REAL loss_and_derivative(
    const Loss& loss, REAL* z, const REAL* c, int n_outputs
) {
    REAL value = 0;
    const REAL total = loss.code == SOFTMAX ? log_sum_exp(z, n_outputs) : (REAL)0;
    for (int k = 0; k < n_outputs; k++) {
        REAL& zk = z[k * ROW];
        if (loss.code == LOGISTIC) {
            const REAL size = fabs(zk);
            value += (log1p(exp(-size)) + (REAL)0.5 * size + ((REAL)0.5 - c[k]) * zk) / n_outputs;
            zk = (logistic(zk) - c[k]) / n_outputs;
        } else if (loss.code == SOFTMAX) {
            value -= c[k] * zk;
            zk = exp(zk - total) - c[k];
        } else if (loss.code == SQUARED) {
            const REAL error = zk - c[k];
            value += (REAL)0.5 * error * error / n_outputs;
            zk = error / n_outputs;
        } else if (loss.code == HUBER) {
            const REAL error = zk - c[k], cut = cut_off(error, loss.width);
            value += cut * (error - (REAL)0.5 * cut) / n_outputs;
            zk = cut / n_outputs;
        } else if (loss.code == QUANTILE) {
            const REAL error = zk - c[k], cut = cut_off(error, loss.width);
            const REAL tilt = (REAL)0.5 - loss.quantile;
            const REAL size = cut * (error - (REAL)0.5 * cut) / loss.width
                              + (REAL)0.5 * loss.width;
            value += ((REAL)0.5 * size + tilt * error) / n_outputs;
            zk = ((REAL)0.5 * (cut / loss.width) + tilt) / n_outputs;
        } else if (loss.code == POISSON) {
            const REAL mean = exp(zk);
            value += (mean - c[k] * zk) / n_outputs;
            zk = (mean - c[k]) / n_outputs;
        } else {
            const REAL C = logistic(zk), error = C - c[k];
            value += (REAL)0.5 * error * error;
            zk = error * C * (1 - C);
        }
    }
    return total + value;
}

