/* The recurrence of an LSTM layer in bfloat16 and its gradient (noternn/model/bf16_layer.py), for processors
 * that multiply pairs of bfloat16 (AVX512-BF16).
 *
 * Products are of rounded numbers and summed in 32 bits; cells and activations are of 32 bits. No row depends
 * on how many there are. Units come in blocks of 16, weights in tiles of 4 such blocks by a pair of inputs. */

#define PY_SSIZE_T_CLEAN
#include <Python.h>
#include <stdint.h>

#if defined(__x86_64__) && (defined(__clang__) || (defined(__GNUC__) && __GNUC__ >= 10))
#include <immintrin.h>

#define UNITS 16        /* numbers of a register */
#define TILE (4 * UNITS) /* numbers of a row that are computed together */
#define ROWS 4          /* that share the weights they read */
#define HALF __attribute__((target("avx512f,avx512bw,avx512vl,avx512bf16")))
#define INLINE HALF static inline __attribute__((always_inline))

enum { WEIGHT, READ, HIDDEN, CELL, ACTIVE, OUTPUT, NUM_BUFFERS };

typedef struct {
    const uint16_t *weight; /* (tiles, inputs / 2, TILE, 2) */
    uint16_t *read;         /* (rows, time, 4 * size): forward what the layer's input adds; backward the gradient */
    uint16_t *hidden;       /* (rows, time + 1, size); the first are those before the window */
    float *cell;            /* (rows, time + 1, size) alike */
    float *active;          /* (rows, time, 4 * size) input, forget, cell and output gates */
    float *output;          /* (rows, time, size): hidden units, or backward their gradient */
    float *before;          /* backward (2, rows, size): gradient of the last state, at the end of the first */
    Py_ssize_t rows, time, size;
} Layer;

INLINE __m512 wide(const uint16_t *from)
{
    __m512i bits = _mm512_cvtepu16_epi32(_mm256_loadu_si256((const __m256i *)from));
    return _mm512_castsi512_ps(_mm512_slli_epi32(bits, 16));
}

INLINE void narrow(uint16_t *to, __m512 numbers)
{
    _mm256_storeu_si256((__m256i *)to, (__m256i)_mm512_cvtneps_pbh(numbers));
}

/* e^x within a few units of the last place (Cephes' polynomial); of the bounds the second, x, stays if it is none. */
INLINE __m512 exponential(__m512 x)
{
    x = _mm512_max_ps(_mm512_set1_ps(-87.0f), _mm512_min_ps(_mm512_set1_ps(87.0f), x));
    __m512 n = _mm512_roundscale_ps(_mm512_mul_ps(x, _mm512_set1_ps(1.44269504f)), 0);
    __m512 r = _mm512_fnmadd_ps(n, _mm512_set1_ps(0.693359375f), x);
    r = _mm512_fnmadd_ps(n, _mm512_set1_ps(-2.12194440e-4f), r);
    __m512 y = _mm512_set1_ps(1.9875691500e-4f);
    y = _mm512_fmadd_ps(y, r, _mm512_set1_ps(1.3981999507e-3f));
    y = _mm512_fmadd_ps(y, r, _mm512_set1_ps(8.3334519073e-3f));
    y = _mm512_fmadd_ps(y, r, _mm512_set1_ps(4.1665795894e-2f));
    y = _mm512_fmadd_ps(y, r, _mm512_set1_ps(1.6666665459e-1f));
    y = _mm512_fmadd_ps(y, r, _mm512_set1_ps(5.0000001201e-1f));
    y = _mm512_fmadd_ps(y, _mm512_mul_ps(r, r), _mm512_add_ps(r, _mm512_set1_ps(1.0f)));
    return _mm512_scalef_ps(y, n);
}

INLINE __m512 sigmoid(__m512 x)
{
    __m512 one = _mm512_set1_ps(1.0f);
    return _mm512_div_ps(one, _mm512_add_ps(one, exponential(_mm512_sub_ps(_mm512_setzero_ps(), x))));
}

INLINE __m512 tangent(__m512 x)
{
    __m512 two = _mm512_set1_ps(2.0f);
    return _mm512_fmsub_ps(two, sigmoid(_mm512_mul_ps(two, x)), _mm512_set1_ps(1.0f));
}

/* Products of some rows, `apart` numbers from each other, with a tile of the weights. */
INLINE void multiply(__m512 sums[ROWS][4], const uint16_t *tile, const uint16_t *numbers, Py_ssize_t apart,
                     Py_ssize_t num_inputs, const int num_rows)
{
    for (Py_ssize_t k = 0; k < num_inputs; k += 2, tile += 2 * TILE) {
        __m512bh weights[4];
        for (int part = 0; part < 4; part++) {
            weights[part] = (__m512bh)_mm512_loadu_si512(tile + 2 * UNITS * part);
        }
        for (int row = 0; row < num_rows; row++) {
            int32_t pair;
            __builtin_memcpy(&pair, numbers + row * apart + k, sizeof pair);
            __m512bh both = (__m512bh)_mm512_set1_epi32(pair);
            for (int part = 0; part < 4; part++) {
                sums[row][part] = _mm512_dpbf16_ps(sums[row][part], both, weights[part]);
            }
        }
    }
}

INLINE void step_rows(const Layer *s, Py_ssize_t block, Py_ssize_t row, Py_ssize_t time, const int num_rows)
{
    Py_ssize_t size = s->size, unit = block * UNITS;
    __m512 sums[ROWS][4];
    for (int k = 0; k < num_rows; k++) {
        for (int gate = 0; gate < 4; gate++) {
            sums[k][gate] = wide(s->read + ((row + k) * s->time + time) * 4 * size + gate * size + unit);
        }
    }
    Py_ssize_t apart = (s->time + 1) * size, before = row * apart + time * size;
    multiply(sums, s->weight + block * size * TILE, s->hidden + before, apart, size, num_rows);
    for (int k = 0; k < num_rows; k++) {
        __m512 input = sigmoid(sums[k][0]), forget = sigmoid(sums[k][1]);
        __m512 new = tangent(sums[k][2]), output = sigmoid(sums[k][3]);
        Py_ssize_t at = before + k * apart + unit, flat = (row + k) * s->time + time;
        __m512 cell = _mm512_fmadd_ps(forget, _mm512_loadu_ps(s->cell + at), _mm512_mul_ps(input, new));
        __m512 hidden = _mm512_mul_ps(output, tangent(cell));
        float *active = s->active + flat * 4 * size + unit;
        _mm512_storeu_ps(active, input);
        _mm512_storeu_ps(active + size, forget);
        _mm512_storeu_ps(active + 2 * size, new);
        _mm512_storeu_ps(active + 3 * size, output);
        _mm512_storeu_ps(s->cell + at + size, cell);
        _mm512_storeu_ps(s->output + flat * size + unit, hidden);
        narrow(s->hidden + at + size, hidden);
    }
}

HALF static void run(const Layer *s)
{
    for (Py_ssize_t time = 0; time < s->time; time++) {
        for (Py_ssize_t block = 0; block < s->size / UNITS; block++) {
            Py_ssize_t row = 0;
            for (; row + ROWS <= s->rows; row += ROWS) {
                step_rows(s, block, row, time, ROWS);
            }
            for (; row < s->rows; row++) {
                step_rows(s, block, row, time, 1);
            }
        }
    }
}

/* The gradient of the sums of a step's gates, from that of its hidden units and cells. */
INLINE void step_gates(const Layer *s, Py_ssize_t row, Py_ssize_t time)
{
    Py_ssize_t size = s->size, flat = row * s->time + time;
    const __m512 one = _mm512_set1_ps(1.0f);
    for (Py_ssize_t unit = 0; unit < size; unit += UNITS) {
        const float *active = s->active + flat * 4 * size + unit;
        __m512 input = _mm512_loadu_ps(active), forget = _mm512_loadu_ps(active + size);
        __m512 new = _mm512_loadu_ps(active + 2 * size), output = _mm512_loadu_ps(active + 3 * size);
        const float *cells = s->cell + (row * (s->time + 1) + time) * size + unit;
        __m512 bent = tangent(_mm512_loadu_ps(cells + size));
        float *of_hidden = s->before + row * size + unit, *of_cell = of_hidden + s->rows * size;
        __m512 hidden = _mm512_add_ps(_mm512_loadu_ps(s->output + flat * size + unit), _mm512_loadu_ps(of_hidden));
        __m512 cell = _mm512_fmadd_ps(_mm512_mul_ps(hidden, output), _mm512_fnmadd_ps(bent, bent, one),
                                      _mm512_loadu_ps(of_cell));
        _mm512_storeu_ps(of_cell, _mm512_mul_ps(cell, forget));
        uint16_t *found = s->read + flat * 4 * size + unit;
        __m512 slope = _mm512_mul_ps(input, _mm512_sub_ps(one, input));
        narrow(found, _mm512_mul_ps(_mm512_mul_ps(cell, new), slope));
        slope = _mm512_mul_ps(forget, _mm512_sub_ps(one, forget));
        narrow(found + size, _mm512_mul_ps(_mm512_mul_ps(cell, _mm512_loadu_ps(cells)), slope));
        narrow(found + 2 * size, _mm512_mul_ps(_mm512_mul_ps(cell, input), _mm512_fnmadd_ps(new, new, one)));
        slope = _mm512_mul_ps(output, _mm512_sub_ps(one, output));
        narrow(found + 3 * size, _mm512_mul_ps(_mm512_mul_ps(hidden, bent), slope));
    }
}

INLINE void step_back(const Layer *s, Py_ssize_t tile, Py_ssize_t row, Py_ssize_t time, const int num_rows)
{
    Py_ssize_t width = 4 * s->size;
    __m512 sums[ROWS][4];
    for (int k = 0; k < num_rows; k++) {
        for (int part = 0; part < 4; part++) {
            sums[k][part] = _mm512_setzero_ps();
        }
    }
    const uint16_t *gates = s->read + (row * s->time + time) * width;
    multiply(sums, s->weight + tile * width * TILE, gates, s->time * width, width, num_rows);
    for (int k = 0; k < num_rows; k++) {
        for (int part = 0; part < 4; part++) {
            _mm512_storeu_ps(s->before + (row + k) * s->size + tile * TILE + part * UNITS, sums[k][part]);
        }
    }
}

HALF static void run_back(const Layer *s)
{
    for (Py_ssize_t time = s->time - 1; time >= 0; time--) {
        for (Py_ssize_t row = 0; row < s->rows; row++) {
            step_gates(s, row, time);
        }
        for (Py_ssize_t tile = 0; tile < s->size / TILE; tile++) {
            Py_ssize_t row = 0;
            for (; row + ROWS <= s->rows; row += ROWS) {
                step_back(s, tile, row, time, ROWS);
            }
            for (; row < s->rows; row++) {
                step_back(s, tile, row, time, 1);
            }
        }
    }
}

/* Whether each buffer is as long as the sizes say; an exception where one is not. */
static int agree(const Layer *s, const Py_buffer *buffers, int is_back)
{
    Py_ssize_t rows = s->rows, time = s->time, size = s->size;
    int is_valid = rows > 0 && time > 0 && size > 0 && size % TILE == 0;
    is_valid = is_valid && buffers[WEIGHT].len == 4 * size * size * 2 && buffers[READ].len == rows * time * 4 * size * 2;
    is_valid = is_valid && buffers[ACTIVE].len == rows * time * 4 * size * 4;
    is_valid = is_valid && buffers[OUTPUT].len == rows * time * size * 4;
    is_valid = is_valid && buffers[CELL].len == rows * (time + 1) * size * 4;
    Py_ssize_t state = is_back ? 2 * rows * size * 4 : rows * (time + 1) * size * 2;
    if (is_valid && buffers[HIDDEN].len == state) {
        return 1;
    }
    PyErr_SetString(PyExc_ValueError, "the sizes of the buffers do not agree");
    return 0;
}

static PyObject *call(PyObject *arguments, void (*function)(const Layer *), const char *format, int is_back)
{
    Py_buffer buffers[NUM_BUFFERS];
    Layer s = {0};
    if (!PyArg_ParseTuple(arguments, format, &buffers[WEIGHT], &buffers[READ], &buffers[HIDDEN], &buffers[CELL],
                          &buffers[ACTIVE], &buffers[OUTPUT], &s.rows, &s.time, &s.size)) {
        return NULL;
    }
    s.weight = buffers[WEIGHT].buf;
    s.read = buffers[READ].buf;
    s.hidden = is_back ? NULL : buffers[HIDDEN].buf;
    s.before = is_back ? buffers[HIDDEN].buf : NULL;
    s.cell = buffers[CELL].buf;
    s.active = buffers[ACTIVE].buf;
    s.output = buffers[OUTPUT].buf;
    int is_valid = agree(&s, buffers, is_back);
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

static PyObject *forward(PyObject *module, PyObject *arguments)
{
    (void)module;
    return call(arguments, run, "y*y*w*w*w*w*nnn", 0);
}

static PyObject *backward(PyObject *module, PyObject *arguments)
{
    (void)module;
    return call(arguments, run_back, "y*w*w*y*y*y*nnn", 1);
}

static PyMethodDef methods[] = {{"forward", forward, METH_VARARGS, NULL},
                                {"backward", backward, METH_VARARGS, NULL},
                                {NULL, NULL, 0, NULL}};
static struct PyModuleDef definition = {
    .m_base = PyModuleDef_HEAD_INIT, .m_name = "bf16_steps", .m_size = 0, .m_methods = methods};

PyMODINIT_FUNC PyInit_bf16_steps(void)
{
    return PyModuleDef_Init(&definition);
}
#else
PyMODINIT_FUNC PyInit_bf16_steps(void)
{
    PyErr_SetString(PyExc_ImportError, "it is for x86-64 and compilers that know AVX512-BF16");
    return NULL;
}
#endif
