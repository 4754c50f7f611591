/* Steps of a network (noternn/model/stepper.py) with one id a stream: what stands around the products of matrices,
 * with the same bits as torch (`recall`, `add_rows`, `add_scores`), and the whole step of one stream (`draft`), whose
 * sums are made in an order of its own.
 *
 * Indices come from a checkpoint, so each is looked at before it is used: see `at`. */

#define PY_SSIZE_T_CLEAN
#include <Python.h>
#include <math.h>
#include <stdint.h>
#include <string.h>

#if defined(__GNUC__) && !defined(__clang__) && defined(__x86_64__) && defined(__gnu_linux__)
#define WIDE __attribute__((optimize("O3"), target_clones("avx512f", "avx2", "default")))
#else
#define WIDE
#endif

enum { HIGHEST = 128, MOST_PLACES = 512, MOST_BUFFERS = 48 };

/* The buffers of a call, in the order of Python's. */
typedef struct {
    Py_buffer each[MOST_BUFFERS];
    int count, is_bad;
} Buffers;

static void release(Buffers *b)
{
    while (b->count > 0) {
        PyBuffer_Release(&b->each[--b->count]);
    }
}

/* 0 with an exception where the tuple does not hold `count` of them; the first `num_written` are written to. */
static int take(Buffers *b, PyObject *tuple, int count, int num_written)
{
    b->count = b->is_bad = 0;
    if (!PyTuple_Check(tuple) || PyTuple_GET_SIZE(tuple) != count) {
        PyErr_Format(PyExc_ValueError, "a tuple of %d buffers is needed", count);
        return 0;
    }
    for (int i = 0; i < count; i++) {
        int flags = i < num_written ? PyBUF_WRITABLE : PyBUF_SIMPLE;
        if (PyObject_GetBuffer(PyTuple_GET_ITEM(tuple, i), &b->each[b->count], flags) < 0) {
            release(b);
            return 0;
        }
        b->count++;
    }
    return 1;
}

static PyObject *finish(Buffers *b)
{
    int is_bad = b->is_bad;
    release(b);
    if (is_bad) {
        PyErr_SetString(PyExc_ValueError, "the buffers do not agree, or an index lies outside");
        return NULL;
    }
    return Py_NewRef(Py_None);
}

/* The buffer, which must hold so many numbers of so many bytes. */
static void *numbers(Buffers *b, int which, Py_ssize_t count, Py_ssize_t size)
{
    b->is_bad |= count < 0 || b->each[which].len != count * size;
    return b->each[which].buf;
}

static Py_ssize_t length(const Buffers *b, int which, Py_ssize_t size) { return b->each[which].len / size; }

/* An index below `count`; where it is none, 0, and the call ends with an error. */
static inline Py_ssize_t at(Buffers *b, int64_t index, Py_ssize_t count)
{
    int is_inside = index >= 0 && index < count;
    b->is_bad |= !is_inside;
    return is_inside ? (Py_ssize_t)index : 0;
}

/* ---- what is remembered ---- */

enum { RECENT, CLOCK, PITCHES, AGES, ROWS, COUNTS, IDS, STEPS, HEARD, PERIODS, SPANS, SPAN_WEIGHTS, NUM_RECALLED };

typedef struct {
    int64_t *recent, *clock, *pitches, *ages, *rows; /* see noternn/model/compiled.py for all shapes */
    float *counts;
    const int64_t *ids, *steps, *heard, *periods, *spans;
    const float *span_weights;
    Py_ssize_t num_streams, vocab_size, num_inputs, num_periods, num_slots, num_pitches, reach, memory, num_counts,
        num_rows;
} Past;

static const Py_ssize_t INT = sizeof(int64_t), REAL = sizeof(float);

static void measure_past(Past *p, Buffers *b)
{
    Py_ssize_t n = p->num_streams = length(b, IDS, INT);
    p->vocab_size = length(b, STEPS, INT);
    p->num_periods = length(b, PERIODS, INT);
    p->memory = length(b, SPANS, INT);
    p->num_counts = n ? length(b, COUNTS, REAL) / n : 0;
    p->num_rows = p->num_inputs + p->num_periods + (p->num_slots > 0) + p->num_pitches;
    b->is_bad |= n < 1 || p->num_inputs < 1 || p->num_slots < 0 || p->num_pitches < 0 || p->reach < 0;
    b->is_bad |= p->num_pitches > p->memory || p->memory > 4096;
    p->ids = numbers(b, IDS, n, INT);
    p->recent = numbers(b, RECENT, (p->num_inputs - 1) * n, INT);
    p->clock = numbers(b, CLOCK, 2 * n, INT);
    p->pitches = numbers(b, PITCHES, 2 * n * p->memory, INT);
    p->ages = numbers(b, AGES, n * p->memory, INT);
    p->rows = numbers(b, ROWS, n * p->num_rows, INT);
    p->counts = numbers(b, COUNTS, n * p->num_counts, REAL);
    p->steps = numbers(b, STEPS, p->vocab_size, INT);
    p->heard = numbers(b, HEARD, p->memory ? p->vocab_size : 0, INT);
    p->periods = numbers(b, PERIODS, p->num_periods, INT);
    p->spans = numbers(b, SPANS, p->memory, INT);
    p->span_weights = numbers(b, SPAN_WEIGHTS, p->memory, REAL);
}

/* The last pitches and how long ago they began; their rows of the table, and how many stand on each step. */
static int64_t *hear(const Past *p, Buffers *b, Py_ssize_t stream, int64_t pitch, int64_t time, int64_t *row,
                     Py_ssize_t base)
{
    Py_ssize_t memory = p->memory, width = 2 * p->reach + 2;
    int64_t *pitches = p->pitches + stream * memory, *began = pitches + p->num_streams * memory;
    int64_t *ages = p->ages + stream * memory;
    float *counts = p->counts + stream * p->num_counts;
    if (pitch > 0) {
        memmove(pitches + 1, pitches, (memory - 1) * INT);
        memmove(began + 1, began, (memory - 1) * INT);
        pitches[0] = at(b, pitch, HIGHEST + 1);
        began[0] = time;
    }
    memset(counts, 0, p->num_counts * REAL);
    for (Py_ssize_t i = 0; i < memory; i++) {
        int64_t interval = pitches[i] - pitches[0];
        ages[i] = time - began[i];
        if (pitches[i] > 0) {
            counts[at(b, (interval % 12 + 12) % 12 + p->spans[i], p->num_counts)] += p->span_weights[i];
        }
        if (i < p->num_pitches) {
            interval = Py_MIN(Py_MAX(interval, -p->reach), p->reach) + p->reach;
            *row++ = base + i * width + (pitches[i] > 0 ? interval : width - 1);
        }
    }
    return row;
}

/* A stream after one more id: the rows of the table that are added for it. */
static void remember(const Past *p, Buffers *b, Py_ssize_t stream)
{
    Py_ssize_t n = p->num_streams, base = 0, id = at(b, p->ids[stream], p->vocab_size);
    int64_t *row = p->rows + stream * p->num_rows, *recent = p->recent + stream, *clock = p->clock + stream;
    for (Py_ssize_t i = 0; i < p->num_inputs; i++, base += p->vocab_size) {
        int64_t known = i + 1 < p->num_inputs ? recent[i * n] : id;
        *row++ = base + at(b, known, p->vocab_size);
        if (i > 0) {
            recent[(i - 1) * n] = known;
        }
    }
    int64_t steps = at(b, p->steps[id], INT32_MAX), slot = steps > 0 ? 0 : clock[n];
    clock[0] = at(b, clock[0] + steps, INT64_MAX / 2);
    clock[n] = slot + 1;
    for (Py_ssize_t i = 0; i < p->num_periods; i++) {
        int64_t period = at(b, p->periods[i] - 1, INT32_MAX) + 1;
        *row++ = base + clock[0] % period;
        base += period;
    }
    if (p->num_slots > 0) {
        *row++ = base + Py_MIN(slot, p->num_slots - 1);
        base += p->num_slots;
    }
    if (p->memory > 0) {
        hear(p, b, stream, p->heard[id], clock[0], row, base);
    }
}

static PyObject *recall(PyObject *module, PyObject *arguments)
{
    (void)module;
    PyObject *tuple;
    Past p;
    Buffers b;
    if (!PyArg_ParseTuple(arguments, "Onnnn", &tuple, &p.num_inputs, &p.num_slots, &p.num_pitches, &p.reach) ||
        !take(&b, tuple, NUM_RECALLED, IDS)) {
        return NULL;
    }
    measure_past(&p, &b);
    for (Py_ssize_t stream = 0; !b.is_bad && stream < p.num_streams; stream++) {
        remember(&p, &b, stream);
    }
    return finish(&b);
}

/* ---- sums ---- */

WIDE static void add(float *restrict sums, const float *restrict row, Py_ssize_t count)
{
    for (Py_ssize_t i = 0; i < count; i++) {
        sums[i] += row[i];
    }
}

/* Sums of rows, one after the other; what is in `sums` comes after the first `before` of them. */
static PyObject *add_rows(PyObject *module, PyObject *arguments)
{
    (void)module;
    PyObject *tuple;
    Py_ssize_t n, before;
    Buffers b;
    if (!PyArg_ParseTuple(arguments, "Onn", &tuple, &n, &before) || !take(&b, tuple, 3, 1)) {
        return NULL;
    }
    b.is_bad = n < 1 || before < 1;
    Py_ssize_t width = n < 1 ? 0 : length(&b, 0, REAL) / n, num_rows = n < 1 ? 0 : length(&b, 1, INT) / n;
    Py_ssize_t size = width < 1 ? 0 : length(&b, 2, REAL) / width;
    float *sums = numbers(&b, 0, n * width, REAL), *here = PyMem_Calloc(width + 1, REAL);
    const int64_t *rows = numbers(&b, 1, n * num_rows, INT);
    const float *table = numbers(&b, 2, size * width, REAL);
    b.is_bad |= here == NULL || size < 1;
    for (Py_ssize_t stream = 0; !b.is_bad && stream < n; stream++, sums += width, rows += num_rows) {
        memcpy(here, table + at(&b, rows[0], size) * width, width * REAL);
        for (Py_ssize_t i = 1; i < num_rows; i++) {
            if (i == before) {
                add(here, sums, width);
            }
            add(here, table + at(&b, rows[i], size) * width, width);
        }
        if (before >= num_rows) {
            add(here, sums, width);
        }
        memcpy(sums, here, width * REAL);
    }
    PyMem_Free(here);
    return finish(&b);
}

/* Scores of intervals to the last pitches, (num_pitches, 2 * reach + 1), added to the logits of the ids. */
static void spread(Buffers *b, float *logits, const float *scores, const int64_t *pitches, const int64_t *place,
                   Py_ssize_t vocab_size, Py_ssize_t num_pitches, Py_ssize_t reach)
{
    float sums[MOST_PLACES] = {0};
    Py_ssize_t width = 2 * reach + 1, num_places = HIGHEST + 2 + 2 * reach;
    for (Py_ssize_t i = 0; i < num_pitches; i++, scores += width) {
        Py_ssize_t first = at(b, pitches[i], HIGHEST + 1);
        for (Py_ssize_t k = 0; first > 0 && k < width; k++) {
            sums[first + k] += scores[k];
        }
    }
    for (Py_ssize_t id = 0; id < vocab_size; id++) {
        logits[id] += sums[at(b, place[id], num_places)];
    }
}

/* Scores of pitches, added to the logits of the ids that say them. */
static void add_columns(Buffers *b, float *logits, const float *scores, const int64_t *column, Py_ssize_t vocab_size,
                        Py_ssize_t num_scores)
{
    for (Py_ssize_t id = 0; id < vocab_size; id++) {
        Py_ssize_t which = at(b, column[id], num_scores + 1); /* the last for what says no pitch */
        if (which < num_scores) {
            logits[id] += scores[which];
        }
    }
}

enum { LOGITS, WHICH, SCORES, LAST_PITCHES, PLACE, CONVOLVED, COLUMN, NUM_SCORED };

static PyObject *add_scores(PyObject *module, PyObject *arguments)
{
    (void)module;
    PyObject *tuple;
    Py_ssize_t n, num_pitches, reach;
    Buffers b;
    if (!PyArg_ParseTuple(arguments, "Onnn", &tuple, &n, &num_pitches, &reach) || !take(&b, tuple, NUM_SCORED, 1)) {
        return NULL;
    }
    b.is_bad = n < 1 || num_pitches < 0 || reach < 0 || HIGHEST + 2 + 2 * reach > MOST_PLACES;
    Py_ssize_t vocab_size = length(&b, PLACE, INT), m = length(&b, WHICH, INT), width = num_pitches * (2 * reach + 1);
    Py_ssize_t memory = n < 1 ? 0 : length(&b, LAST_PITCHES, INT) / n;
    Py_ssize_t num_scores = m < 1 ? 0 : length(&b, CONVOLVED, REAL) / m;
    float *logits = numbers(&b, LOGITS, n * vocab_size, REAL);
    const int64_t *which = numbers(&b, WHICH, m, INT), *pitches = numbers(&b, LAST_PITCHES, n * memory, INT);
    const float *scores = numbers(&b, SCORES, m * width, REAL), *convolved = numbers(&b, CONVOLVED, m * num_scores, REAL);
    const int64_t *place = numbers(&b, PLACE, vocab_size, INT);
    const int64_t *column = numbers(&b, COLUMN, num_scores ? vocab_size : 0, INT);
    b.is_bad |= num_pitches > memory;
    for (Py_ssize_t i = 0; !b.is_bad && i < m; i++) {
        Py_ssize_t stream = at(&b, which[i], n);
        float *row = logits + stream * vocab_size;
        spread(&b, row, scores + i * width, pitches + stream * memory, place, vocab_size, num_pitches, reach);
        if (num_scores > 0) {
            add_columns(&b, row, convolved + i * num_scores, column, vocab_size, num_scores);
        }
    }
    return finish(&b);
}

/* ---- the whole step of one stream ---- */

enum { HIDDEN = NUM_RECALLED, CELL, LOG_PROBS, TABLE, CLASSES, RECURRENT, INPUT, BIAS, FIRST, FIRST_BIAS, LAST, LAST_BIAS,
       INTERVALS, INTERVAL_BIAS, PLACES, CHANNELS, CHANNEL_BIAS, KERNEL, OUTPUT, LAGS, AGE_CLASSES, COLUMNS,
       BEFORE_PITCH, FOLLOWERS, SUGGESTED, SUGGESTED_TABLE, MATCH_CLASSES, BOOSTS, BOOST_BIAS, NUM_DRAFTED };

typedef struct {
    Past past;
    float *hidden, *cell;
    double *log_probs;
    const float *table, *classes, *recurrent, *input, *bias, *first, *first_bias, *last, *last_bias, *intervals,
        *interval_bias, *channels, *channel_bias, *kernel, *output, *suggested_table, *match_classes, *boosts,
        *boost_bias;
    const int64_t *places, *lags, *age_classes, *columns, *suggested;
    const uint8_t *before_pitch, *followers;
    Py_ssize_t size, num_layers, is_residual, width, num_between, num_channels, num_scores, lowest, reach, num_ages,
        num_rolls, num_suggested, num_ranks, num_classes;
} Network;

static void measure_network(Network *s, Buffers *b)
{
    Past *p = &s->past;
    measure_past(p, b);
    Py_ssize_t h = s->size, layers = s->num_layers, v = p->vocab_size, scored = p->num_pitches * (2 * p->reach + 1);
    b->is_bad |= p->num_streams != 1 || h < 1 || layers < 1 || s->num_channels < 0 || s->num_scores < 0 || s->reach < 0;
    b->is_bad |= HIGHEST + 2 + 2 * p->reach > MOST_PLACES || (s->num_channels > 0 && s->num_scores < 1);
    if (b->is_bad) {
        return;
    }
    s->width = (s->is_residual ? 5 : 4) * h;
    s->num_between = length(b, FIRST_BIAS, REAL);
    s->num_ages = length(b, AGE_CLASSES, INT);
    Py_ssize_t slice = (2 * s->reach + 1) * s->num_channels, c = s->num_channels, memory = c ? p->memory : 0;
    s->num_rolls = slice ? length(b, KERNEL, REAL) / slice : 0;
    s->hidden = numbers(b, HIDDEN, layers * h, REAL);
    s->cell = numbers(b, CELL, layers * h, REAL);
    s->log_probs = numbers(b, LOG_PROBS, v, sizeof(double));
    s->table = numbers(b, TABLE, length(b, TABLE, REAL) / s->width * s->width, REAL);
    s->classes = numbers(b, CLASSES, p->num_counts * s->width, REAL);
    s->recurrent = numbers(b, RECURRENT, layers * h * 4 * h, REAL);
    s->input = numbers(b, INPUT, (layers - 1) * h * 4 * h, REAL);
    s->bias = numbers(b, BIAS, (layers - 1) * 4 * h, REAL);
    s->first = numbers(b, FIRST, h * s->num_between, REAL);
    s->first_bias = numbers(b, FIRST_BIAS, s->num_between, REAL);
    s->last = numbers(b, LAST, (s->num_between ? s->num_between : h) * v, REAL);
    s->last_bias = numbers(b, LAST_BIAS, v, REAL);
    s->intervals = numbers(b, INTERVALS, h * scored, REAL);
    s->interval_bias = numbers(b, INTERVAL_BIAS, scored, REAL);
    s->places = numbers(b, PLACES, p->num_pitches ? v : 0, INT);
    s->channels = numbers(b, CHANNELS, h * c, REAL);
    s->channel_bias = numbers(b, CHANNEL_BIAS, c, REAL);
    s->kernel = numbers(b, KERNEL, s->num_rolls * slice, REAL);
    s->output = numbers(b, OUTPUT, c, REAL);
    s->lags = numbers(b, LAGS, memory, INT);
    s->age_classes = numbers(b, AGE_CLASSES, s->num_ages, INT);
    s->columns = numbers(b, COLUMNS, c ? v : 0, INT);
    s->before_pitch = numbers(b, BEFORE_PITCH, v, 1);
    s->followers = numbers(b, FOLLOWERS, length(b, FOLLOWERS, 1) ? v * v : 0, 1);
    Py_ssize_t n = s->num_suggested = length(b, SUGGESTED, INT) / 2, suggested_row = s->width * (v + 1);
    Py_ssize_t boosts = length(b, BOOST_BIAS, REAL);
    s->num_classes = n ? boosts / n : 0;
    s->suggested = numbers(b, SUGGESTED, 2 * n, INT);
    s->num_ranks = length(b, SUGGESTED_TABLE, REAL) / suggested_row;
    s->suggested_table = numbers(b, SUGGESTED_TABLE, s->num_ranks * suggested_row, REAL);
    b->is_bad |= n > 0 && s->num_ranks < 1;
    s->match_classes = numbers(b, MATCH_CLASSES, n ? (boosts + 1) * s->width : 0, REAL);
    s->boosts = numbers(b, BOOSTS, boosts * h, REAL);
    s->boost_bias = numbers(b, BOOST_BIAS, n * s->num_classes, REAL);
    b->is_bad |= c > 0 && (s->num_ages < 1 || s->num_rolls < 1);
}

/* out += row @ weight, of (height,), (height, width) and (width,); in the order of rows, as oneDNN mostly does. */
WIDE static void multiply(float *restrict out, const float *restrict row, const float *restrict weight,
                          Py_ssize_t height, Py_ssize_t width)
{
    Py_ssize_t i = 0;
    for (; i + 4 <= height; i += 4, weight += 4 * width) {
        const float *w1 = weight + width, *w2 = w1 + width, *w3 = w2 + width;
        for (Py_ssize_t k = 0; k < width; k++) {
            out[k] = out[k] + row[i] * weight[k] + row[i + 1] * w1[k] + row[i + 2] * w2[k] + row[i + 3] * w3[k];
        }
    }
    for (; i < height; i++, weight += width) {
        for (Py_ssize_t k = 0; k < width; k++) {
            out[k] += row[i] * weight[k];
        }
    }
}

/* e to the power x by a polynomial on [-log 2 / 2, log 2 / 2] (Cody and Waite, 1980), within 2e-7 of it. */
static inline float exponential(float x)
{
    x = x > -87.0f ? x : -87.0f; /* so is no number at all */
    x = x < 87.0f ? x : 87.0f;
    int32_t power = (int32_t)(x * 1.44269504f + (x < 0 ? -0.5f : 0.5f));
    float rest = (x - power * 0.693359375f) + power * 2.12194440e-4f;
    float sum = 1.0f / 720;
    sum = sum * rest + 1.0f / 120;
    sum = sum * rest + 1.0f / 24;
    sum = sum * rest + 1.0f / 6;
    sum = sum * rest + 0.5f;
    sum = sum * rest + 1.0f;
    sum = sum * rest + 1.0f;
    union {
        int32_t bits;
        float number;
    } scale = {(power + 127) * (1 << 23)};
    return sum * scale.number;
}

/* The layer's new cell and hidden state from its gates before their non-linearities: input, forget, output, cell. */
WIDE static void advance(float *restrict cell, float *restrict hidden, const float *restrict gates, Py_ssize_t size)
{
    for (Py_ssize_t i = 0; i < size; i++) {
        float in = 1.0f / (1.0f + exponential(-gates[i])), keep = 1.0f / (1.0f + exponential(-gates[size + i]));
        float out = 1.0f / (1.0f + exponential(-gates[2 * size + i]));
        float next = 1.0f - 2.0f / (1.0f + exponential(2.0f * gates[3 * size + i]));
        cell[i] = keep * cell[i] + in * next;
        hidden[i] = out * (1.0f - 2.0f / (1.0f + exponential(2.0f * cell[i])));
    }
}

WIDE static void add_both(float *restrict sums, const float *restrict first, const float *restrict second,
                          Py_ssize_t count)
{
    for (Py_ssize_t i = 0; i < count; i++) {
        sums[i] += first[i] + second[i];
    }
}

/* The score of every pitch by the convolution, from its channels' sums, which begin as those of the hidden units. */
static void convolve(const Network *s, Buffers *b, float *sums, float *scores)
{
    const Past *p = &s->past;
    Py_ssize_t c = s->num_channels, width = 2 * s->reach + 1;
    for (Py_ssize_t i = 0; i < p->memory; i++) {
        Py_ssize_t column = (Py_ssize_t)p->pitches[i] - 1 - s->lowest;
        if (p->pitches[i] <= 0 || column < 0 || column >= s->num_scores) {
            continue;
        }
        Py_ssize_t age = Py_MIN(Py_MAX((Py_ssize_t)p->ages[i], 0), s->num_ages - 1);
        Py_ssize_t low = Py_MAX(0, column - s->reach), high = Py_MIN(s->num_scores, column + s->reach + 1);
        Py_ssize_t from = low - (column - s->reach);
        const float *first = s->kernel + (at(b, s->lags[i], s->num_rolls) * width + from) * c;
        const float *second = s->kernel + (at(b, s->age_classes[age], s->num_rolls) * width + from) * c;
        add_both(sums + low * c, first, second, (high - low) * c);
    }
    for (Py_ssize_t k = 0; k < s->num_scores; k++, sums += c) {
        scores[k] = 0;
        for (Py_ssize_t i = 0; i < c; i++) {
            scores[k] += sums[i] > 0 ? sums[i] * s->output[i] : 0;
        }
    }
}

static void score_pitches(const Network *s, Buffers *b, const float *values, float *logits, float *scratch)
{
    const Past *p = &s->past;
    Py_ssize_t scored = p->num_pitches * (2 * p->reach + 1), c = s->num_channels;
    memcpy(scratch, s->interval_bias, scored * REAL);
    multiply(scratch, values, s->intervals, s->size, scored);
    spread(b, logits, scratch, p->pitches, s->places, p->vocab_size, p->num_pitches, p->reach);
    if (c > 0) {
        float *scores = scratch + s->num_scores * c;
        memcpy(scratch, s->channel_bias, c * REAL);
        multiply(scratch, values, s->channels, s->size, c);
        for (Py_ssize_t k = 1; k < s->num_scores; k++) {
            memcpy(scratch + k * c, scratch, c * REAL);
        }
        convolve(s, b, scratch, scores);
        add_columns(b, logits, scores, s->columns, p->vocab_size, s->num_scores);
    }
}

/* What the piece's past suggests, added to the first layer's gates: see PieceMemory. */
static void read_suggested(const Network *s, Buffers *b, float *gates)
{
    Py_ssize_t n = s->num_suggested, v = s->past.vocab_size;
    for (Py_ssize_t i = 0; i < n; i++) {
        Py_ssize_t id = at(b, s->suggested[i], v + 1), class = at(b, s->suggested[n + i], s->num_classes);
        Py_ssize_t row = id < v ? i * s->num_classes + class : n * s->num_classes;
        Py_ssize_t place = i % s->num_ranks * (v + 1) + id;
        add_both(gates, s->suggested_table + place * s->width, s->match_classes + row * s->width, s->width);
    }
}

/* The logits of what is suggested, raised. */
static void boost(const Network *s, Buffers *b, const float *values, float *logits)
{
    Py_ssize_t n = s->num_suggested, v = s->past.vocab_size, h = s->size;
    for (Py_ssize_t i = 0; i < n; i++) {
        Py_ssize_t id = at(b, s->suggested[i], v + 1), class = at(b, s->suggested[n + i], s->num_classes);
        if (id < v) {
            Py_ssize_t row = i * s->num_classes + class;
            float sum = s->boost_bias[row];
            for (Py_ssize_t k = 0; k < h; k++) {
                sum += values[k] * s->boosts[row * h + k];
            }
            logits[id] += sum;
        }
    }
}

/* What the last layer reads and gives: `values` are the residual sums, or the last hidden state. */
static void run_layers(const Network *s, float *gates, float *values)
{
    Py_ssize_t h = s->size;
    for (Py_ssize_t layer = 0; layer < s->num_layers; layer++) {
        float *hidden = s->hidden + layer * h;
        if (layer > 0) {
            memcpy(gates, s->bias + (layer - 1) * 4 * h, 4 * h * REAL);
            multiply(gates, values, s->input + (layer - 1) * 4 * h * h, h, 4 * h);
        }
        multiply(gates, hidden, s->recurrent + layer * 4 * h * h, h, 4 * h);
        advance(s->cell + layer * h, hidden, gates, h);
        if (s->is_residual) {
            add(values, hidden, h);
        } else {
            memcpy(values, hidden, h * REAL);
        }
    }
}

static void log_softmax(const float *logits, const uint8_t *may_follow, double *log_probs, Py_ssize_t count)
{
    double highest = -INFINITY, sum = 0;
    for (Py_ssize_t i = 0; i < count; i++) {
        log_probs[i] = may_follow && !may_follow[i] ? -INFINITY : logits[i];
        highest = log_probs[i] > highest ? log_probs[i] : highest;
    }
    for (Py_ssize_t i = 0; i < count; i++) {
        sum += exp(log_probs[i] - highest);
    }
    double all = highest + log(sum);
    for (Py_ssize_t i = 0; i < count; i++) {
        log_probs[i] -= all;
    }
}

static void run(const Network *s, Buffers *b, float *scratch)
{
    const Past *p = &s->past;
    Py_ssize_t h = s->size, v = p->vocab_size, id = at(b, p->ids[0], v);
    Py_ssize_t num_rows = length(b, TABLE, REAL) / s->width;
    float *gates = scratch, *values = gates + 4 * h, *below = values + h, *logits = below + s->num_between + 1;
    remember(p, b, 0);
    memset(gates, 0, s->width * REAL);
    for (Py_ssize_t i = 0; i < p->num_rows; i++) {
        add(gates, s->table + at(b, p->rows[i], num_rows) * s->width, s->width);
    }
    for (Py_ssize_t i = 0; i < p->num_counts; i++) {
        if (p->counts[i] != 0) {
            multiply(gates, p->counts + i, s->classes + i * s->width, 1, s->width);
        }
    }
    read_suggested(s, b, gates);
    run_layers(s, gates, values);
    memcpy(logits, s->last_bias, v * REAL);
    if (s->num_between > 0) {
        memcpy(below, s->first_bias, s->num_between * REAL);
        multiply(below, values, s->first, h, s->num_between);
        for (Py_ssize_t i = 0; i < s->num_between; i++) {
            below[i] = below[i] > 0 ? below[i] : 0;
        }
    }
    multiply(logits, s->num_between ? below : values, s->last, s->num_between ? s->num_between : h, v);
    if (p->memory > 0 && s->before_pitch[id]) {
        score_pitches(s, b, values, logits, logits + v);
    }
    boost(s, b, values, logits);
    log_softmax(logits, length(b, FOLLOWERS, 1) ? s->followers + id * v : NULL, s->log_probs, v);
}

static PyObject *draft(PyObject *module, PyObject *arguments)
{
    (void)module;
    PyObject *tuple;
    Network s;
    Past *p = &s.past;
    Buffers b;
    if (!PyArg_ParseTuple(arguments, "Onnnnnnnnnnn", &tuple, &p->num_inputs, &p->num_slots, &p->num_pitches, &p->reach,
                          &s.size, &s.num_layers, &s.is_residual, &s.num_channels, &s.num_scores, &s.lowest, &s.reach) ||
        !take(&b, tuple, NUM_DRAFTED, NUM_DRAFTED)) {
        return NULL;
    }
    measure_network(&s, &b);
    if (!b.is_bad) {
        Py_ssize_t scored = p->num_pitches * (2 * p->reach + 1), channels = s.num_scores * (s.num_channels + 1);
        float *scratch = PyMem_Malloc((5 * s.size + s.num_between + 1 + p->vocab_size + scored + channels) * REAL);
        b.is_bad = scratch == NULL;
        if (scratch != NULL) {
            run(&s, &b, scratch);
        }
        PyMem_Free(scratch);
    }
    return finish(&b);
}

static PyMethodDef methods[] = {{"recall", recall, METH_VARARGS, NULL},
                                {"add_rows", add_rows, METH_VARARGS, NULL},
                                {"add_scores", add_scores, METH_VARARGS, NULL},
                                {"draft", draft, METH_VARARGS, NULL},
                                {NULL, NULL, 0, NULL}};
static struct PyModuleDef definition = {
    .m_base = PyModuleDef_HEAD_INIT, .m_name = "steps", .m_size = 0, .m_methods = methods};

PyMODINIT_FUNC PyInit_steps(void)
{
    return PyModuleDef_Init(&definition);
}
