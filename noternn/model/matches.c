/* Looks up the last ids of pieces among their earlier ones, in four ways, as noternn/model/recall.py does in numpy.
 *
 * Ids come from checkpoints and files, so each is looked at before it is used. */

#define PY_SSIZE_T_CLEAN
#include <Python.h>
#include <stdint.h>

#define STEP 0x9E3779B97F4A7C15u

enum { PLAIN, MOVED, RHYTHM, PLACED, NUM_SEARCHES };

/* Of each length the indices of the two shorter ones that it is put together from. */
typedef struct {
    int64_t length, first, last;
} Length;

typedef struct {
    const int64_t *kind, *height, *steps, *ids; /* (vocab_size,); (num_kinds, num_heights + 1), the last without height */
    const Length *lengths;
    Py_ssize_t vocab_size, num_kinds, num_heights, span, bar, num_lengths, capacity, num_slots, count, hops;
} Setting;

/* One sequence: its symbols; of each length the hashes of the last ones and where the same came before,
 * (num_lengths, capacity); and a table of the latest places, (num_slots,), each times num_lengths plus its length. */
typedef struct {
    int64_t *symbols;
    uint64_t *hashes;
    int32_t *earlier, *latest;
} Past;

static inline uint64_t mixed(uint64_t value)
{
    value += STEP;
    value = (value ^ (value >> 30)) * 0xBF58476D1CE4E5B9u;
    value = (value ^ (value >> 27)) * 0x94D049BB133111EBu;
    return value ^ (value >> 31);
}

/* Puts a place of a length under its hash; the one that was there before, or -1. */
static int32_t put(const Setting *s, const Past *past, Py_ssize_t which, Py_ssize_t place)
{
    const uint64_t *hashes = past->hashes + which * s->capacity;
    Py_ssize_t mask = s->num_slots - 1, slot = (Py_ssize_t)(mixed(hashes[place] + (uint64_t)which)) & mask;
    int32_t known;
    while ((known = past->latest[slot]) >= 0) {
        if (known % s->num_lengths == which && hashes[known / s->num_lengths] == hashes[place]) {
            break;
        }
        slot = (slot + 1) & mask;
    }
    past->latest[slot] = (int32_t)(place * s->num_lengths + which);
    return known < 0 ? -1 : (int32_t)(known / s->num_lengths);
}

static void append(const Setting *s, const Past *past, Py_ssize_t here, int64_t symbol)
{
    past->symbols[here] = symbol;
    for (Py_ssize_t i = 0; i < s->num_lengths; i++) {
        const Length *part = &s->lengths[i];
        uint64_t *own = past->hashes + i * s->capacity;
        past->earlier[i * s->capacity + here] = -1;
        own[here] = 0;
        if (here + 1 < part->length) {
            continue;
        }
        if (i == 0) {
            own[here] = mixed((uint64_t)symbol);
        } else {
            Py_ssize_t before = here - s->lengths[part->last].length;
            own[here] = mixed(past->hashes[part->first * s->capacity + before] * STEP +
                              past->hashes[part->last * s->capacity + here]);
        }
        past->earlier[i * s->capacity + here] = put(s, past, i, here);
    }
}

/* Writes the distinct followers of the longest matches, -1 for none, and the classes of their lengths. */
static void follow(const Setting *s, const Past *past, Py_ssize_t here, int64_t *found, int64_t *classes)
{
    Py_ssize_t num_found = 0;
    for (Py_ssize_t i = s->num_lengths; i-- > 0 && num_found < s->count;) {
        const int32_t *earlier = past->earlier + i * s->capacity;
        int32_t place = earlier[here];
        for (Py_ssize_t hop = 0; hop < s->hops && place >= 0 && num_found < s->count; hop++) {
            int64_t symbol = past->symbols[place + 1];
            Py_ssize_t known = 0;
            while (known < num_found && found[known] != symbol) {
                known++;
            }
            if (known == num_found) {
                found[num_found] = symbol;
                classes[num_found++] = i;
            }
            place = earlier[place];
        }
    }
    for (; num_found < s->count; num_found++) {
        found[num_found] = -1;
        classes[num_found] = 0;
    }
}

/* The id that a symbol of one of the searches stands for after some height; vocab_size for none. */
static int64_t id_of(const Setting *s, int search, int64_t symbol, int64_t height)
{
    if (symbol < 0 || search == PLAIN || search == PLACED) {
        return symbol < 0 ? s->vocab_size : symbol % s->vocab_size;
    }
    int64_t kind = search == MOVED ? symbol / s->span : symbol, interval = search == MOVED ? symbol % s->span : 0;
    int64_t column = interval > 0 ? interval - s->span / 2 + height : s->num_heights;
    int is_there = column >= 0 && column < s->num_heights + (interval == 0);
    int64_t id = is_there ? s->ids[kind * (s->num_heights + 1) + column] : -1;
    return id < 0 ? s->vocab_size : id;
}

/* One more id of a piece: what is suggested, (2, NUM_SEARCHES * count); 0 if there is no such id. */
static int go_on(const Setting *s, const Past *pasts, Py_ssize_t here, int64_t id, int64_t *last_height, int64_t *place,
                 int64_t *out)
{
    if (id < 0 || id >= s->vocab_size || s->kind[id] < 0 || s->kind[id] >= s->num_kinds) {
        return 0;
    }
    *place = (*place + s->steps[id]) % s->bar;
    int64_t own = s->height[id], kind = s->kind[id];
    int64_t symbols[NUM_SEARCHES] = {id, kind * s->span, kind, *place * s->vocab_size + id};
    if (own >= 0) {
        symbols[MOVED] += own - *last_height + s->span / 2;
        *last_height = own;
    }
    for (int search = 0; search < NUM_SEARCHES; search++) {
        int64_t *found = out + search * s->count, *classes = found + NUM_SEARCHES * s->count;
        append(s, &pasts[search], here, symbols[search]);
        follow(s, &pasts[search], here, found, classes);
        for (Py_ssize_t i = 0; i < s->count; i++) {
            found[i] = id_of(s, search, found[i], *last_height);
        }
    }
    return 1;
}

enum { KIND, HEIGHT, STEPS, IDS, LENGTHS, NEW, HEIGHTS, PLACES, SYMBOLS, HASHES, EARLIER, LATEST, OUT, NUM_BUFFERS };

static int are_sums(const Length *lengths, Py_ssize_t count)
{
    for (Py_ssize_t i = 0; i < count; i++) {
        const Length *part = &lengths[i];
        int is_single = i == 0 && part->length == 1;
        int is_sum = i > 0 && part->first >= 0 && part->first < i && part->last >= 0 && part->last < i &&
                     part->length == lengths[part->first].length + lengths[part->last].length;
        if (!is_single && !is_sum) {
            return 0;
        }
    }
    return count > 0;
}

static int search_all(const Py_buffer *b, Py_ssize_t start, Py_ssize_t count, Py_ssize_t hops, Py_ssize_t span,
                      Py_ssize_t bar)
{
    const Py_ssize_t number = sizeof(int64_t), half = sizeof(int32_t);
    Py_ssize_t streams = b[HEIGHTS].len / number, pasts = streams * NUM_SEARCHES, width = 2 * NUM_SEARCHES * count;
    if (streams < 1 || count < 1 || count > 64 || start < 0 || span < 2 || bar < 1) {
        return 0;
    }
    Setting s = {b[KIND].buf, b[HEIGHT].buf, b[STEPS].buf, b[IDS].buf, b[LENGTHS].buf, b[KIND].len / number, 0, 128,
                 span, bar, b[LENGTHS].len / (Py_ssize_t)sizeof(Length), b[SYMBOLS].len / number / pasts,
                 b[LATEST].len / half / pasts, count, hops};
    s.num_kinds = b[IDS].len / number / (s.num_heights + 1);
    Py_ssize_t rows = s.capacity * s.num_lengths, new = b[NEW].len / number / streams;
    if (b[HEIGHT].len != b[KIND].len || b[STEPS].len != b[KIND].len || b[PLACES].len != b[HEIGHTS].len || b[IDS].len != s.num_kinds * (s.num_heights + 1) * number ||
        b[NEW].len != new * streams * number || new > s.capacity - start || b[OUT].len != new * streams * width * number ||
        b[SYMBOLS].len != pasts * s.capacity * number || b[HASHES].len != pasts * rows * number ||
        b[EARLIER].len != pasts * rows * half || b[LATEST].len != pasts * s.num_slots * half || s.num_slots <= rows ||
        rows > INT32_MAX || (s.num_slots & (s.num_slots - 1)) != 0 || !are_sums(s.lengths, s.num_lengths)) {
        return 0;
    }
    const int64_t *ids = b[NEW].buf;
    int64_t *heights = b[HEIGHTS].buf, *places = b[PLACES].buf, *out = b[OUT].buf;
    for (Py_ssize_t stream = 0; stream < streams; stream++) {
        Past own[NUM_SEARCHES];
        for (Py_ssize_t i = 0, past = stream * NUM_SEARCHES; i < NUM_SEARCHES; i++, past++) {
            own[i] = (Past){(int64_t *)b[SYMBOLS].buf + past * s.capacity, (uint64_t *)b[HASHES].buf + past * rows,
                            (int32_t *)b[EARLIER].buf + past * rows, (int32_t *)b[LATEST].buf + past * s.num_slots};
        }
        for (Py_ssize_t i = 0; i < new; i++, out += width) {
            if (!go_on(&s, own, start + i, *ids++, heights + stream, places + stream, out)) {
                return 0;
            }
        }
    }
    return 1;
}

static PyObject *search(PyObject *module, PyObject *arguments)
{
    (void)module;
    Py_buffer b[NUM_BUFFERS];
    Py_ssize_t start, count, hops, span, bar;
    if (!PyArg_ParseTuple(arguments, "y*y*y*y*y*y*w*w*w*w*w*w*w*nnnnn", &b[KIND], &b[HEIGHT], &b[STEPS], &b[IDS],
                          &b[LENGTHS], &b[NEW], &b[HEIGHTS], &b[PLACES], &b[SYMBOLS], &b[HASHES], &b[EARLIER],
                          &b[LATEST], &b[OUT], &start, &count, &hops, &span, &bar)) {
        return NULL;
    }
    int is_valid = search_all(b, start, count, hops, span, bar);
    for (int i = 0; i < NUM_BUFFERS; i++) {
        PyBuffer_Release(&b[i]);
    }
    if (!is_valid) {
        PyErr_SetString(PyExc_ValueError, "the sizes of the buffers do not agree, or an id is out of range");
        return NULL;
    }
    return Py_NewRef(Py_None);
}

static PyMethodDef methods[] = {{"search", search, METH_VARARGS, NULL}, {NULL, NULL, 0, NULL}};
static struct PyModuleDef definition = {
    .m_base = PyModuleDef_HEAD_INIT, .m_name = "matches", .m_size = 0, .m_methods = methods};

PyMODINIT_FUNC PyInit_matches(void)
{
    return PyModuleDef_Init(&definition);
}
