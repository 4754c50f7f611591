/* The sums of a `PitchConvolution` (noternn/intervals.py) and their gradient, from the few pitches that
 * sound instead of the rolls that are nearly all zeros.
 *
 * A pitch that is heard adds two slices, of its lag and of its age, to the sums of the pitches around it.
 * Channels lie innermost, so that what is added to what is one run of numbers. Sums are made in the order of
 * the pitches, the latest first, whatever else is in the batch. */

#define PY_SSIZE_T_CLEAN
#include <Python.h>
#include <stdint.h>

#if defined(__GNUC__) && !defined(__clang__) && defined(__x86_64__) && defined(__gnu_linux__)
#define WIDE __attribute__((optimize("O3"), target_clones("avx512f", "avx2", "default"))) /* the same sums */
#else
#define WIDE
#endif

enum { PITCHES, AGES, LAGS, STARTS, WEIGHT, SUMS, NUM_BUFFERS };

typedef struct {
    const int64_t *pitches, *ages; /* (num_rows, num_heard) pitches plus 1, 0 for none; grid steps since their onsets */
    const int64_t *lags;           /* (num_heard,) the class of each of the last */
    const int64_t *starts;         /* (num_starts,) the ages at which their classes begin but the first */
    float *weight;                 /* (num_rolls, width, num_channels) from the lowest pitch that is added to */
    float *sums;                   /* (num_rows, num_pitches, num_channels) */
    Py_ssize_t num_rows, num_heard, num_starts, num_rolls, num_pitches, num_channels, reach;
    long long lowest;
} Sums;

/* The slices of one heard pitch: `count` numbers at `first` and `second` of the weight and `at` of the sums. */
typedef struct {
    Py_ssize_t first, second, at, count;
} Slices;

static inline Slices slices_of(const Sums *s, Py_ssize_t row, Py_ssize_t heard)
{
    Slices found = {0, 0, 0, 0};
    int64_t column = s->pitches[row * s->num_heard + heard] - 1 - s->lowest;
    if (s->pitches[row * s->num_heard + heard] <= 0 || column < 0 || column >= s->num_pitches) {
        return found;
    }
    int64_t age = s->ages[row * s->num_heard + heard];
    Py_ssize_t age_class = 0, end = s->num_starts;
    while (age_class < end) {
        Py_ssize_t middle = (age_class + end) / 2;
        if (s->starts[middle] <= age) {
            age_class = middle + 1;
        } else {
            end = middle;
        }
    }
    Py_ssize_t low = Py_MAX(0, column - s->reach), high = Py_MIN(s->num_pitches, column + s->reach + 1);
    Py_ssize_t width = 2 * s->reach + 1, from = low - (column - s->reach);
    found.first = (s->lags[heard] * width + from) * s->num_channels;
    found.second = ((s->num_rolls - s->num_starts - 1 + age_class) * width + from) * s->num_channels;
    found.at = (row * s->num_pitches + low) * s->num_channels;
    found.count = (high - low) * s->num_channels;
    return found;
}

WIDE static void add_weight(const Sums *s)
{
    for (Py_ssize_t row = 0; row < s->num_rows; row++) {
        for (Py_ssize_t heard = 0; heard < s->num_heard; heard++) {
            Slices at = slices_of(s, row, heard);
            const float *first = s->weight + at.first, *second = s->weight + at.second;
            float *restrict sums = s->sums + at.at;
            for (Py_ssize_t i = 0; i < at.count; i++) {
                sums[i] += first[i] + second[i];
            }
        }
    }
}

WIDE static void add_gradient(const Sums *s)
{
    for (Py_ssize_t row = 0; row < s->num_rows; row++) {
        for (Py_ssize_t heard = 0; heard < s->num_heard; heard++) {
            Slices at = slices_of(s, row, heard);
            float *restrict first = s->weight + at.first, *restrict second = s->weight + at.second;
            const float *restrict sums = s->sums + at.at;
            for (Py_ssize_t i = 0; i < at.count; i++) {
                first[i] += sums[i];
                second[i] += sums[i];
            }
        }
    }
}

/* Reads all sizes off the buffers; 0 with an exception where the buffers do not agree. */
static int measure(Sums *s, Py_buffer *buffers)
{
    const Py_ssize_t number = sizeof(int64_t), real = sizeof(float);
    if (s->num_pitches > 0 && s->num_channels > 0 && s->reach >= 0 && buffers[LAGS].len >= number) {
        Py_ssize_t slice = (2 * s->reach + 1) * s->num_channels * real, sums = s->num_pitches * s->num_channels * real;
        s->num_heard = buffers[LAGS].len / number;
        s->num_starts = buffers[STARTS].len / number;
        s->num_rolls = buffers[WEIGHT].len / slice;
        s->num_rows = buffers[SUMS].len / sums;
        Py_ssize_t heard = s->num_rows * s->num_heard * number;
        int is_valid = s->num_rows * sums == buffers[SUMS].len && s->num_rolls * slice == buffers[WEIGHT].len &&
                       heard == buffers[PITCHES].len && heard == buffers[AGES].len && s->num_rolls > s->num_starts;
        for (Py_ssize_t i = 0; is_valid && i < s->num_heard; i++) {
            is_valid = s->lags[i] >= 0 && s->lags[i] < s->num_rolls - s->num_starts - 1;
        }
        if (is_valid) {
            return 1;
        }
    }
    PyErr_SetString(PyExc_ValueError, "the sizes of the buffers do not agree");
    return 0;
}

static PyObject *call(PyObject *arguments, void (*function)(const Sums *), const char *format)
{
    Py_buffer buffers[NUM_BUFFERS];
    Sums s = {0};
    if (!PyArg_ParseTuple(arguments, format, &buffers[PITCHES], &buffers[AGES], &buffers[LAGS], &buffers[STARTS],
                          &buffers[WEIGHT], &buffers[SUMS], &s.num_pitches, &s.num_channels, &s.reach, &s.lowest)) {
        return NULL;
    }
    s.pitches = buffers[PITCHES].buf;
    s.ages = buffers[AGES].buf;
    s.lags = buffers[LAGS].buf;
    s.starts = buffers[STARTS].buf;
    s.weight = buffers[WEIGHT].buf;
    s.sums = buffers[SUMS].buf;
    int is_valid = measure(&s, buffers);
    if (is_valid) {
        Py_BEGIN_ALLOW_THREADS
        function(&s);
        Py_END_ALLOW_THREADS
    }
    for (int i = 0; i < NUM_BUFFERS; i++) {
        PyBuffer_Release(&buffers[i]);
    }
    return is_valid ? Py_NewRef(Py_None) : NULL;
}

static PyObject *weight_to_sums(PyObject *module, PyObject *arguments)
{
    (void)module;
    return call(arguments, add_weight, "y*y*y*y*y*w*nnnL");
}

static PyObject *sums_to_weight(PyObject *module, PyObject *arguments)
{
    (void)module;
    return call(arguments, add_gradient, "y*y*y*y*w*y*nnnL");
}

static PyMethodDef methods[] = {{"weight_to_sums", weight_to_sums, METH_VARARGS, NULL},
                                {"sums_to_weight", sums_to_weight, METH_VARARGS, NULL},
                                {NULL, NULL, 0, NULL}};
static struct PyModuleDef definition = {
    .m_base = PyModuleDef_HEAD_INIT, .m_name = "pitch_sums", .m_size = 0, .m_methods = methods};

PyMODINIT_FUNC PyInit_pitch_sums(void)
{
    return PyModuleDef_Init(&definition);
}
