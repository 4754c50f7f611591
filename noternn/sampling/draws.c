/* Draws ids as noternn/sampling/probabilities.py does, and says where numbers that are off by a tolerance might draw
 * another: these are left to it. */

#define PY_SSIZE_T_CLEAN
#include <Python.h>
#include <math.h>
#include <stdint.h>

typedef struct {
    double log_prob, weight;
    Py_ssize_t id;
} Candidate;

typedef struct {
    Py_ssize_t top_k;
    double top_p, min_p, temperature, tolerance;
} Choice;

enum { UNDECIDED = -1 };

static inline int comes_before(const Candidate *a, const Candidate *b)
{
    return a->log_prob > b->log_prob || (a->log_prob == b->log_prob && a->id < b->id);
}

/* Restores the heap below `place`, the most probable candidate first. */
static void sink(Candidate *heap, Py_ssize_t count, Py_ssize_t place)
{
    Candidate moved = heap[place];
    for (Py_ssize_t child = 2 * place + 1; child < count; place = child, child = 2 * place + 1) {
        if (child + 1 < count && comes_before(&heap[child + 1], &heap[child])) {
            child++;
        }
        if (!comes_before(&heap[child], &moved)) {
            break;
        }
        heap[place] = heap[child];
    }
    heap[place] = moved;
}

/* Moves the candidates that are left by all filters behind the others: how many, or UNDECIDED. */
static Py_ssize_t filter(Candidate *heap, Py_ssize_t count, const Choice *choice)
{
    Py_ssize_t kept = 0, limit = choice->top_k > 0 && choice->top_k < count ? choice->top_k : count;
    double first = 0, last = 0, total = 0, sum = 0, edge = choice->min_p > 0 ? log(choice->min_p) : -INFINITY;
    double tolerance = choice->tolerance;
    for (Py_ssize_t place = count / 2; place-- > 0;) {
        sink(heap, count, place);
    }
    first = heap[0].log_prob;
    for (Py_ssize_t i = 0; i < count; i++) {
        heap[i].weight = exp(heap[i].log_prob - first);
        total += heap[i].weight;
    }
    while (kept < limit) {
        double below = heap[0].log_prob - first;
        if (kept > 0 && fabs(below - edge) < 2 * tolerance) {
            return UNDECIDED;
        }
        if (kept > 0 && below < edge) {
            break;
        }
        Candidate best = heap[0];
        Py_ssize_t left = count - ++kept;
        heap[0] = heap[left];
        heap[left] = best;
        sink(heap, left, 0);
        last = best.log_prob;
        sum += best.weight;
        if (choice->top_p < 1 && kept < limit) {
            double share = sum / total;
            if (fabs(share - choice->top_p) < tolerance) {
                return UNDECIDED;
            }
            if (share >= choice->top_p) {
                break;
            }
        }
    }
    return kept < count && last - heap[0].log_prob < 2 * tolerance ? UNDECIDED : kept;
}

/* The id at a random point of [0, 1), or UNDECIDED. `weights` are all 0, and are so again at the end. */
static int64_t draw_one(const double *log_probs, const uint8_t *mask, Py_ssize_t vocab_size, double point,
                        const Choice *choice, Candidate *heap, double *weights)
{
    Py_ssize_t count = 0;
    for (Py_ssize_t id = 0; id < vocab_size; id++) {
        if (mask[id] && log_probs[id] != -INFINITY) {
            if (!isfinite(log_probs[id])) {
                return UNDECIDED;
            }
            heap[count].log_prob = log_probs[id];
            heap[count++].id = id;
        }
    }
    Py_ssize_t kept = count ? filter(heap, count, choice) : UNDECIDED;
    if (kept == UNDECIDED) {
        return UNDECIDED;
    }
    double total = 0, first = heap[count - 1].log_prob, sum = 0;
    Candidate *left = heap + count - kept;
    Py_ssize_t lowest = vocab_size, highest = 0;
    for (Py_ssize_t i = 0; i < kept; i++) {
        double weight = choice->temperature == 1 ? left[i].weight
                                                 : exp((left[i].log_prob - first) / choice->temperature);
        weights[left[i].id] = weight;
        total += weight;
        lowest = Py_MIN(lowest, left[i].id);
        highest = Py_MAX(highest, left[i].id);
    }
    double target = point * total, margin = choice->tolerance / choice->temperature * total;
    int64_t drawn = UNDECIDED;
    int is_close = target < margin;
    for (Py_ssize_t id = lowest; id <= highest; id++) { /* in the order of ids */
        if (weights[id] > 0) {
            sum += weights[id];
            is_close |= fabs(sum - target) < margin;
            drawn = drawn == UNDECIDED && sum > target ? id : drawn;
            weights[id] = 0;
        }
    }
    return is_close ? UNDECIDED : drawn;
}

enum { LOG_PROBS, WHICH, MASKS, STATES, POINTS, DRAWN, NUM_BUFFERS };

static int draw_all(const Py_buffer *b, Py_ssize_t vocab_size, const Choice *choice)
{
    const Py_ssize_t number = sizeof(int64_t), real = sizeof(double);
    Py_ssize_t n = b[DRAWN].len / number, rows = vocab_size > 0 ? b[LOG_PROBS].len / (vocab_size * real) : 0;
    Py_ssize_t num_states = vocab_size > 0 ? b[MASKS].len / vocab_size : 0;
    const int64_t *which = b[WHICH].buf, *states = b[STATES].buf;
    int64_t *drawn = b[DRAWN].buf;
    if (vocab_size < 1 || rows * vocab_size * real != b[LOG_PROBS].len || num_states * vocab_size != b[MASKS].len ||
        b[WHICH].len != n * number || b[STATES].len != n * number || b[POINTS].len != n * real) {
        return 0;
    }
    for (Py_ssize_t i = 0; i < n; i++) {
        if (which[i] < 0 || which[i] >= rows || states[i] < 0 || states[i] >= num_states) {
            return 0;
        }
    }
    Candidate *heap = PyMem_Malloc(vocab_size * sizeof(Candidate));
    double *weights = PyMem_Calloc(vocab_size, real);
    for (Py_ssize_t i = 0; i < n; i++) {
        drawn[i] = heap == NULL || weights == NULL
                       ? UNDECIDED
                       : draw_one((const double *)b[LOG_PROBS].buf + which[i] * vocab_size,
                                  (const uint8_t *)b[MASKS].buf + states[i] * vocab_size, vocab_size,
                                  ((const double *)b[POINTS].buf)[i], choice, heap, weights);
    }
    PyMem_Free(heap);
    PyMem_Free(weights);
    return 1;
}

static PyObject *draw(PyObject *module, PyObject *arguments)
{
    (void)module;
    Py_buffer b[NUM_BUFFERS];
    Py_ssize_t vocab_size;
    Choice choice;
    if (!PyArg_ParseTuple(arguments, "y*y*y*y*y*w*nndddd", &b[LOG_PROBS], &b[WHICH], &b[MASKS], &b[STATES], &b[POINTS],
                          &b[DRAWN], &vocab_size, &choice.top_k, &choice.top_p, &choice.min_p, &choice.temperature,
                          &choice.tolerance)) {
        return NULL;
    }
    int is_valid = draw_all(b, vocab_size, &choice);
    for (int i = 0; i < NUM_BUFFERS; i++) {
        PyBuffer_Release(&b[i]);
    }
    if (!is_valid) {
        PyErr_SetString(PyExc_ValueError, "the sizes of the buffers do not agree, or an index lies outside");
        return NULL;
    }
    return Py_NewRef(Py_None);
}

static PyMethodDef methods[] = {{"draw", draw, METH_VARARGS, NULL}, {NULL, NULL, 0, NULL}};
static struct PyModuleDef definition = {
    .m_base = PyModuleDef_HEAD_INIT, .m_name = "draws", .m_size = 0, .m_methods = methods};

PyMODINIT_FUNC PyInit_draws(void)
{
    return PyModuleDef_Init(&definition);
}
