/* Looks up the last symbols of a sequence among its earlier ones, as noternn/model/recall.py does in numpy. */

#define PY_SSIZE_T_CLEAN
#include <Python.h>
#include <stdint.h>

#define STEP 0x9E3779B97F4A7C15u

/* Of each length the indices of the two shorter ones that it is put together from. */
typedef struct {
    int64_t length, first, last;
} Length;

typedef struct {
    const int64_t *symbols;
    const Length *lengths;
    uint64_t *hashes, *keys; /* (num_lengths, capacity) of the last symbols; (num_slots,) of those in the table */
    int64_t *earlier, *places; /* (num_lengths, capacity) where the same came before; (num_slots,) its latest place */
    Py_ssize_t capacity, num_lengths, num_slots, count, hops;
} Search;

static inline uint64_t mixed(uint64_t value)
{
    value += STEP;
    value = (value ^ (value >> 30)) * 0xBF58476D1CE4E5B9u;
    value = (value ^ (value >> 27)) * 0x94D049BB133111EBu;
    return value ^ (value >> 31);
}

/* Puts a place under a key; the one that was there before, or -1. */
static int64_t put(const Search *search, uint64_t key, int64_t place)
{
    Py_ssize_t slot = (Py_ssize_t)(key & (uint64_t)(search->num_slots - 1));
    while (search->places[slot] >= 0 && search->keys[slot] != key) {
        slot = (slot + 1) & (search->num_slots - 1);
    }
    int64_t before = search->places[slot];
    search->keys[slot] = key;
    search->places[slot] = place;
    return before;
}

static void append(const Search *search, Py_ssize_t here)
{
    for (Py_ssize_t i = 0; i < search->num_lengths; i++) {
        const Length *part = &search->lengths[i];
        uint64_t *own = search->hashes + i * search->capacity;
        search->earlier[i * search->capacity + here] = -1;
        own[here] = 0;
        if (here + 1 < part->length) {
            continue;
        }
        if (i == 0) {
            own[here] = mixed((uint64_t)search->symbols[here]);
        } else {
            Py_ssize_t before = here - search->lengths[part->last].length;
            own[here] = mixed(search->hashes[part->first * search->capacity + before] * STEP +
                              search->hashes[part->last * search->capacity + here]);
        }
        search->earlier[i * search->capacity + here] = put(search, own[here] ^ (uint64_t)part->length, here);
    }
}

/* Writes the distinct followers of the longest matches, -1 for none, and the classes of their lengths. */
static void follow(const Search *search, Py_ssize_t here, int64_t *found, int64_t *classes)
{
    Py_ssize_t num_found = 0;
    for (Py_ssize_t i = search->num_lengths; i-- > 0 && num_found < search->count;) {
        const int64_t *earlier = search->earlier + i * search->capacity;
        int64_t place = earlier[here];
        for (Py_ssize_t hop = 0; hop < search->hops && place >= 0 && num_found < search->count; hop++) {
            int64_t symbol = search->symbols[place + 1];
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
    for (; num_found < search->count; num_found++) {
        found[num_found] = -1;
        classes[num_found] = 0;
    }
}

enum { SYMBOLS, LENGTHS, HASHES, EARLIER, KEYS, PLACES, FOUND, CLASSES, NUM_BUFFERS };

static int search_all(const Py_buffer *b, Py_ssize_t start, Py_ssize_t count, Py_ssize_t hops)
{
    const Py_ssize_t number = sizeof(int64_t);
    Search search = {b[SYMBOLS].buf, b[LENGTHS].buf, b[HASHES].buf, b[KEYS].buf, b[EARLIER].buf, b[PLACES].buf,
                     b[SYMBOLS].len / number, b[LENGTHS].len / (Py_ssize_t)sizeof(Length), b[KEYS].len / number,
                     count, hops};
    Py_ssize_t rows = search.capacity * search.num_lengths;
    Py_ssize_t num_new = count > 0 ? b[FOUND].len / (count * number) : -1;
    if (num_new < 0 || start < 0 || num_new > search.capacity - start || b[FOUND].len != num_new * count * number ||
        b[CLASSES].len != b[FOUND].len || b[HASHES].len != rows * number || b[EARLIER].len != rows * number ||
        b[PLACES].len != b[KEYS].len || search.num_slots <= rows || (search.num_slots & (search.num_slots - 1)) != 0) {
        return 0;
    }
    for (Py_ssize_t i = 0; i < search.num_lengths; i++) {
        const Length *part = &search.lengths[i];
        int is_single = i == 0 && part->length == 1;
        int is_sum = i > 0 && part->first >= 0 && part->first < i && part->last >= 0 && part->last < i &&
                     part->length == search.lengths[part->first].length + search.lengths[part->last].length;
        if (!is_single && !is_sum) {
            return 0;
        }
    }
    for (Py_ssize_t new = 0; new < num_new; new++) {
        append(&search, start + new);
        follow(&search, start + new, (int64_t *)b[FOUND].buf + new * count, (int64_t *)b[CLASSES].buf + new * count);
    }
    return 1;
}

static PyObject *search(PyObject *module, PyObject *arguments)
{
    (void)module;
    Py_buffer b[NUM_BUFFERS];
    Py_ssize_t start, count, hops;
    if (!PyArg_ParseTuple(arguments, "y*y*w*w*w*w*w*w*nnn", &b[SYMBOLS], &b[LENGTHS], &b[HASHES], &b[EARLIER], &b[KEYS],
                          &b[PLACES], &b[FOUND], &b[CLASSES], &start, &count, &hops)) {
        return NULL;
    }
    int is_valid = search_all(b, start, count, hops);
    for (int i = 0; i < NUM_BUFFERS; i++) {
        PyBuffer_Release(&b[i]);
    }
    if (!is_valid) {
        PyErr_SetString(PyExc_ValueError, "the sizes of the buffers do not agree");
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
