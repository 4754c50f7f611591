/* Looks up the last ids of pieces among their earlier ones, in four ways, as noternn/model/recall.py does in numpy,
 * and those of each instrument among its own in three, as noternn/model/part_symbols.py has them.
 *
 * Ids come from checkpoints and files, so each is looked at before it is used. */

#define PY_SSIZE_T_CLEAN
#include <Python.h>
#include <stdint.h>

#define STEP 0x9E3779B97F4A7C15u

enum { PLAIN, MOVED, RHYTHM, PLACED, NUM_SEARCHES, OWN = NUM_SEARCHES, OWN_PLACED, OWN_MOVED, MAX_SEARCHES };

/* Of each length the indices of the two shorter ones that it is put together from. */
typedef struct {
    int64_t length, first, last;
} Length;

typedef struct {
    const int64_t *kind, *height, *steps, *ids; /* (vocab_size,); (num_kinds, num_heights + 1), the last without height */
    const Length *lengths;
    const int64_t *part, *within; /* (vocab_size,) */
    Py_ssize_t vocab_size, num_kinds, num_heights, span, bar, num_lengths, capacity, num_slots, count, hops;
    Py_ssize_t num_parts, num_searches;
} Setting;

/* What is kept of a piece beside its searches: the steps since its beginning, the last height, the part whose note is
 * being written; by part, one more for notes of none, the last onset and height; and by chain its latest place. */
enum { TIME, LAST_HEIGHT, CURRENT, BY_PART };

static inline Py_ssize_t state_width(Py_ssize_t num_parts)
{
    return BY_PART + 3 * (num_parts + 1);
}

/* One sequence: its symbols; of each length the hashes of the last ones and where the same came before,
 * (num_lengths, capacity); and a table of the latest places, (num_slots,), each times num_lengths plus its length.
 * A search by part has a sequence for each part: of each length the place so many symbols back in it, and how many
 * symbols it has, (num_lengths + 1, capacity). */
typedef struct {
    int64_t *symbols;
    uint64_t *hashes;
    int32_t *earlier, *latest;
    const int32_t *back;
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

/* One more symbol, which is what followed the one before, and looked up as another. */
static void append(const Setting *s, const Past *past, Py_ssize_t here, int64_t symbol, uint64_t looked_up)
{
    Py_ssize_t known = past->back ? past->back[s->num_lengths * s->capacity + here] : here + 1;
    past->symbols[here] = symbol;
    for (Py_ssize_t i = 0; i < s->num_lengths; i++) {
        const Length *part = &s->lengths[i];
        uint64_t *own = past->hashes + i * s->capacity;
        past->earlier[i * s->capacity + here] = -1;
        own[here] = 0;
        if (known < part->length) {
            continue;
        }
        if (i == 0) {
            own[here] = mixed(looked_up);
        } else {
            Py_ssize_t before = past->back ? past->back[part->last * s->capacity + here]
                                           : here - s->lengths[part->last].length;
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
    int is_moved = search == MOVED || search == OWN_MOVED;
    if (symbol < 0 || (search != RHYTHM && !is_moved)) {
        return symbol < 0 ? s->vocab_size : symbol % s->vocab_size;
    }
    int64_t kind = is_moved ? symbol / s->span : symbol, interval = is_moved ? symbol % s->span : 0;
    int64_t column = interval > 0 ? interval - s->span / 2 + height : s->num_heights;
    int is_there = column >= 0 && column < s->num_heights + (interval == 0);
    int64_t id = is_there ? s->ids[kind * (s->num_heights + 1) + column] : -1;
    return id < 0 ? s->vocab_size : id;
}

/* What an id is after some height, which its own takes the place of. */
static int64_t moved_symbol(const Setting *s, int64_t id, int64_t *height)
{
    int64_t own = s->height[id], symbol = s->kind[id] * s->span;
    if (own >= 0) {
        symbol += own - *height + s->span / 2;
        *height = own;
    }
    return symbol;
}

/* Puts a place at the end of a chain. */
static void chain_up(const Setting *s, int32_t *back, Py_ssize_t here, int64_t *latest)
{
    int32_t *known = back + s->num_lengths * s->capacity;
    Py_ssize_t before = *latest;
    known[here] = before < 0 ? 1 : known[before] + 1;
    *latest = here;
    for (Py_ssize_t i = 0; i < s->num_lengths; i++) {
        int32_t *own = back + i * s->capacity;
        const Length *part = &s->lengths[i];
        if (known[here] <= part->length) {
            own[here] = -1;
        } else {
            own[here] = i ? back[part->first * s->capacity + back[part->last * s->capacity + here]] : (int32_t)before;
        }
    }
}

/* By which symbols an id is looked up among those of its part, and what it is after the part's last height. */
static void symbols_of_parts(const Setting *s, int64_t *state, Py_ssize_t here, int64_t id, int32_t *back,
                             uint64_t *looked_up, int64_t *moved, int64_t *height)
{
    int64_t none = s->num_parts, *onsets = state + BY_PART, *heights = onsets + none + 1, *latest = heights + none + 1;
    uint64_t size = (uint64_t)s->vocab_size, chain, place = (uint64_t)(state[TIME] % s->bar);
    int64_t begun = s->part[id];
    if (begun >= 0) {
        state[CURRENT] = begun;
    }
    int64_t current = state[CURRENT];
    *moved = moved_symbol(s, id, heights + current);
    if (begun >= 0) {
        looked_up[0] = size + (uint64_t)(onsets[begun] < 0 ? 0 : state[TIME] - onsets[begun]);
        looked_up[1] = size + place;
        looked_up[2] = (uint64_t)(s->num_kinds * s->span);
        onsets[begun] = state[TIME];
        chain = (uint64_t)begun;
    } else if (s->within[id] && current != none) {
        looked_up[0] = looked_up[1] = (uint64_t)id;
        looked_up[2] = (uint64_t)*moved;
        chain = (uint64_t)current;
    } else {
        uint64_t said = (uint64_t)(current != none ? current : none + id), all = (uint64_t)none + size;
        looked_up[0] = said;
        looked_up[1] = place * all + said;
        looked_up[2] = s->steps[id] > 0 ? all : said;
        chain = (uint64_t)none;
        state[CURRENT] = none;
    }
    for (int i = 0; i < 3; i++) {
        looked_up[i] = looked_up[i] * ((uint64_t)none + 1) + chain;
    }
    chain_up(s, back, here, latest + chain);
    *height = heights[state[CURRENT]];
}

/* One more id of a piece: what is suggested, (2, num_searches * count); 0 if there is no such id. */
static int go_on(const Setting *s, const Past *pasts, Py_ssize_t here, int64_t id, int64_t *state, int32_t *back,
                 int64_t *out)
{
    if (id < 0 || id >= s->vocab_size || s->kind[id] < 0 || s->kind[id] >= s->num_kinds) {
        return 0;
    }
    int64_t kind = s->kind[id], symbols[MAX_SEARCHES], own_height = 0;
    uint64_t looked_up[MAX_SEARCHES];
    state[TIME] += s->steps[id];
    symbols[PLAIN] = symbols[OWN] = symbols[OWN_PLACED] = id;
    symbols[MOVED] = moved_symbol(s, id, state + LAST_HEIGHT);
    symbols[RHYTHM] = kind;
    symbols[PLACED] = state[TIME] % s->bar * s->vocab_size + id;
    for (int search = 0; search < NUM_SEARCHES; search++) {
        looked_up[search] = (uint64_t)symbols[search];
    }
    if (s->num_parts) {
        if (s->part[id] >= s->num_parts || state[CURRENT] < 0 || state[CURRENT] > s->num_parts) {
            return 0;
        }
        symbols_of_parts(s, state, here, id, back, looked_up + OWN, symbols + OWN_MOVED, &own_height);
    }
    for (int search = 0; search < s->num_searches; search++) {
        int64_t *found = out + search * s->count, *classes = found + s->num_searches * s->count;
        append(s, &pasts[search], here, symbols[search], looked_up[search]);
        follow(s, &pasts[search], here, found, classes);
        for (Py_ssize_t i = 0; i < s->count; i++) {
            found[i] = id_of(s, search, found[i], search == OWN_MOVED ? own_height : state[LAST_HEIGHT]);
        }
    }
    return 1;
}

enum { KIND, HEIGHT, STEPS, IDS, PART, WITHIN, LENGTHS, NEW, STATE, SYMBOLS, HASHES, EARLIER, LATEST, BACK, OUT, NUM_BUFFERS };

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

static int search_all(const Py_buffer *b, Py_ssize_t start, Py_ssize_t streams, Py_ssize_t num_parts, Py_ssize_t count,
                      Py_ssize_t hops, Py_ssize_t span, Py_ssize_t bar)
{
    const Py_ssize_t number = sizeof(int64_t), half = sizeof(int32_t);
    if (streams < 1 || count < 1 || count > 64 || start < 0 || span < 2 || bar < 1 || num_parts < 0) {
        return 0;
    }
    Py_ssize_t num_searches = num_parts ? MAX_SEARCHES : NUM_SEARCHES, pasts = streams * num_searches;
    Py_ssize_t width = 2 * num_searches * count, state_size = state_width(num_parts);
    Setting s = {b[KIND].buf, b[HEIGHT].buf, b[STEPS].buf, b[IDS].buf, b[LENGTHS].buf, b[PART].buf, b[WITHIN].buf,
                 b[KIND].len / number, 0, 128, span, bar, b[LENGTHS].len / (Py_ssize_t)sizeof(Length),
                 b[SYMBOLS].len / number / pasts, b[LATEST].len / half / pasts, count, hops, num_parts, num_searches};
    s.num_kinds = b[IDS].len / number / (s.num_heights + 1);
    Py_ssize_t rows = s.capacity * s.num_lengths, new = b[NEW].len / number / streams;
    Py_ssize_t back_size = num_parts ? rows + s.capacity : 0, by_id = num_parts ? b[KIND].len : 0;
    if (b[HEIGHT].len != b[KIND].len || b[STEPS].len != b[KIND].len || b[PART].len != by_id || b[WITHIN].len != by_id ||
        b[IDS].len != s.num_kinds * (s.num_heights + 1) * number || b[STATE].len != streams * state_size * number ||
        b[NEW].len != new * streams * number || new > s.capacity - start || b[OUT].len != new * streams * width * number ||
        b[SYMBOLS].len != pasts * s.capacity * number || b[HASHES].len != pasts * rows * number ||
        b[EARLIER].len != pasts * rows * half || b[LATEST].len != pasts * s.num_slots * half || s.num_slots <= rows ||
        b[BACK].len != streams * back_size * half || rows > INT32_MAX || (s.num_slots & (s.num_slots - 1)) != 0 ||
        !are_sums(s.lengths, s.num_lengths)) {
        return 0;
    }
    const int64_t *ids = b[NEW].buf;
    int64_t *state = b[STATE].buf, *out = b[OUT].buf;
    int32_t *back = b[BACK].buf;
    for (Py_ssize_t stream = 0; stream < streams; stream++, state += state_size, back += back_size) {
        Past own[MAX_SEARCHES];
        for (Py_ssize_t i = 0, past = stream * num_searches; i < num_searches; i++, past++) {
            own[i] = (Past){(int64_t *)b[SYMBOLS].buf + past * s.capacity, (uint64_t *)b[HASHES].buf + past * rows,
                            (int32_t *)b[EARLIER].buf + past * rows, (int32_t *)b[LATEST].buf + past * s.num_slots,
                            i < NUM_SEARCHES ? NULL : back};
        }
        for (Py_ssize_t i = 0; i < new; i++, out += width) {
            if (!go_on(&s, own, start + i, *ids++, state, back, out)) {
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
    Py_ssize_t start, streams, num_parts, count, hops, span, bar;
    if (!PyArg_ParseTuple(arguments, "y*y*y*y*y*y*y*y*w*w*w*w*w*w*w*nnnnnnn", &b[KIND], &b[HEIGHT], &b[STEPS], &b[IDS],
                          &b[PART], &b[WITHIN], &b[LENGTHS], &b[NEW], &b[STATE], &b[SYMBOLS], &b[HASHES],
                          &b[EARLIER], &b[LATEST], &b[BACK], &b[OUT], &start, &streams, &num_parts, &count, &hops,
                          &span, &bar)) {
        return NULL;
    }
    int is_valid = search_all(b, start, streams, num_parts, count, hops, span, bar);
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
