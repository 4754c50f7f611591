/* The events of the tracks of a MIDI file -> notes and changes, as noternn/music/midi_events.py reads them, only
 * faster. Whatever that would refuse is left to it, so that it alone decides what is valid and says why.
 *
 * Nothing is read before `at < end` was checked; memory grows with the file and the limits only. */

#define PY_SSIZE_T_CLEAN
#include <Python.h>
#include <stdint.h>
#include <string.h>

#define MAX_QUANTITY_BYTES 5
#define MAX_TICK ((int64_t)1 << 60) /* far from where sums of times overflow */
#define MAX_METRE_DENOMINATOR_POWER 7
#define NUM_KEYS (16 * 128) /* channel and pitch */
#define NO_PROGRAM (-1)
#define NO_BANK (-1)
#define NONE (-1) /* no note of that index */

enum { NOTE_OFF = 0x80, NOTE_ON = 0x90, CONTROLLER = 0xB0, PROGRAM_CHANGE = 0xC0, PRESSURE = 0xD0, SYSTEM = 0xF0 };
enum { ESCAPE = 0xF7, META = 0xFF, META_PORT = 0x21, META_END = 0x2F, META_TEMPO = 0x51, META_METRE = 0x58 };
enum { BANK = 0, SUSTAIN_PEDAL = 64, ALL_SOUND_OFF = 120, ALL_NOTES_OFF = 123 };
enum { BY_OFF, UNSURE, BY_SILENCE, BY_END }; /* see midi_events.py */

typedef enum { DONE, LEFT_TO_LOOP, FAILED } Outcome; /* FAILED: a Python exception is set */

typedef struct {
    int64_t onset;
    int64_t duration;
    int32_t next; /* note begun on the same key */
    uint16_t channel;
    uint8_t pitch, velocity;
    int8_t program;
    uint8_t cause; /* of its end */
} Note;

typedef struct {
    int64_t tick, channel, pitch;
} Stray;

typedef struct {
    const uint8_t *data;
    Py_ssize_t size;
    Py_ssize_t max_events, max_notes, max_changes;
    Py_ssize_t num_events, num_notes, num_usual, num_strays, room_for_strays;
    uint8_t max_port;
    Note *notes; /* room for max_notes */
    Stray *strays;
    PyObject *tracks, *programs, *kits, *silences, *pedals, *tempos, *metres;
} Scan;

/* The channels of a track, as long as it stays on a port. */
typedef struct {
    uint8_t port;
    int8_t programs[16], banks[16], program_banks[16]; /* program_banks: with which the programs were chosen */
    int32_t first[NUM_KEYS], last[NUM_KEYS];           /* notes that sound on a key; `last` counts if `first` does */
    int32_t since_silence[NUM_KEYS];                   /* the first note begun since the key was silent */
    int32_t num_sounding[16];
    int64_t silenced[16]; /* ticks */
} Part;

/* Appends `item`, which it takes over. */
static Outcome keep(PyObject *list, PyObject *item, Py_ssize_t limit)
{
    if (item == NULL) {
        return FAILED;
    }
    Outcome outcome = LEFT_TO_LOOP;
    if (PyList_GET_SIZE(list) < limit) {
        outcome = PyList_Append(list, item) < 0 ? FAILED : DONE;
    }
    Py_DECREF(item);
    return outcome;
}

/* A time or length of 7 bits a byte, `at` moved behind it; -1 if it is cut off or too long. */
static int64_t read_quantity(const uint8_t *data, Py_ssize_t *at, Py_ssize_t end)
{
    int64_t value = 0;
    for (int i = 0; i < MAX_QUANTITY_BYTES && *at < end; i++) {
        uint8_t byte = data[(*at)++];
        value = value << 7 | (byte & 0x7F);
        if (byte < 0x80) {
            return value;
        }
    }
    return -1;
}

/* The number of data bytes of a system event; -1 for those that say it themselves or do not exist. */
static int system_data_bytes(uint8_t status)
{
    switch (status) {
    case 0xF1: case 0xF3: return 1;
    case 0xF2: return 2;
    case 0xF6: case 0xF8: case 0xFA: case 0xFB: case 0xFC: case 0xFE: return 0;
    default: return -1;
    }
}

/* The length of the message that midi_events.KIT_MESSAGE matches at the start of the data; 0 without one. */
static Py_ssize_t kit_message(const uint8_t *data, int64_t length)
{
    if (length >= 4 && data[0] == 0x7E && data[2] == 0x09) {
        return data[3] >= 0x01 && data[3] <= 0x03 ? 4 : 0;
    }
    if (length >= 8 && data[0] == 0x41 && data[2] == 0x42 && data[3] == 0x12 && data[7] < 0x80) {
        int is_reset = (data[4] == 0x00 || data[4] == 0x40) && data[5] == 0x00 && data[6] == 0x7F;
        int is_part = data[4] == 0x40 && data[5] >> 4 == 0x1 && data[6] == 0x15;
        return is_reset || is_part ? 8 : 0;
    }
    if (length >= 7 && data[0] == 0x43 && data[1] >> 4 == 0x1 && data[2] == 0x4C && data[6] < 0x80) {
        int is_reset = data[3] == 0x00 && data[4] == 0x00 && (data[5] == 0x7E || data[5] == 0x7F);
        int is_part = data[3] == 0x08 && data[4] < 0x10 && data[5] == 0x07;
        return is_reset || is_part ? 7 : 0;
    }
    return 0;
}

/* Keeps the data of a meta event of a kind, or of a system message, if they count. */
static Outcome keep_system(Scan *scan, uint8_t status, uint8_t kind, const uint8_t *data, int64_t length,
                           int64_t tick, uint8_t port)
{
    if (kind == META_TEMPO) {
        long tempo = length < 3 ? 0 : (long)data[0] << 16 | data[1] << 8 | data[2];
        if (tempo == 0) {
            return LEFT_TO_LOOP;
        }
        return keep(scan->tempos, Py_BuildValue("(Ll)", (long long)tick, tempo), scan->max_changes);
    }
    if (kind == META_METRE) {
        if (length < 2 || data[0] == 0) {
            return LEFT_TO_LOOP;
        }
        int denominator = data[1] <= MAX_METRE_DENOMINATOR_POWER ? 1 << data[1] : 0;
        PyObject *metre = Py_BuildValue("(Lii)", (long long)tick, (int)data[0], denominator);
        return keep(scan->metres, metre, scan->max_changes);
    }
    if (status == META) {
        return DONE;
    }
    int skipped = status == ESCAPE && length > 0 && data[0] == SYSTEM;
    Py_ssize_t found = kit_message(data + skipped, length - skipped);
    if (found > 0) {
        PyObject *kit = Py_BuildValue("(iLy#)", port << 4, (long long)tick, data + skipped, found);
        return keep(scan->kits, kit, scan->max_changes);
    }
    return DONE;
}

/* Reads the event whose status stands at `at`, which is moved behind it, or to `end` after the last. `port` is
 * changed where the event says so. */
static Outcome read_system(Scan *scan, Py_ssize_t *at, Py_ssize_t end, int64_t tick, uint8_t *port)
{
    uint8_t status = scan->data[(*at)++], kind = 0;
    int num_data = system_data_bytes(status);
    if (num_data >= 0) {
        *at = end - *at < num_data ? end : *at + num_data;
        return DONE;
    }
    if (status != SYSTEM && status != ESCAPE && status != META) {
        return LEFT_TO_LOOP;
    }
    if (status == META) {
        if (*at >= end) {
            return LEFT_TO_LOOP;
        }
        kind = scan->data[(*at)++];
    }
    int64_t length = read_quantity(scan->data, at, end);
    if (length < 0 || length > end - *at) {
        return LEFT_TO_LOOP;
    }
    const uint8_t *data = scan->data + *at;
    *at = kind == META_END ? end : *at + (Py_ssize_t)length;
    if (kind == META_PORT && length > 0) {
        *port = data[0];
        scan->max_port = Py_MAX(scan->max_port, *port);
    }
    return keep_system(scan, status, kind, data, length, tick, *port);
}

static void begin_part(Part *part, uint8_t port)
{
    part->port = port;
    memset(part->programs, NO_PROGRAM, sizeof part->programs);
    memset(part->banks, NO_BANK, sizeof part->banks);
    memset(part->program_banks, NO_BANK, sizeof part->program_banks);
    memset(part->first, NONE, sizeof part->first);
    memset(part->num_sounding, 0, sizeof part->num_sounding);
    memset(part->silenced, -1, sizeof part->silenced);
}

static Outcome begin_note(Scan *scan, Part *part, int channel, uint8_t pitch, int64_t tick, uint8_t velocity)
{
    if (scan->num_notes >= scan->max_notes) {
        return LEFT_TO_LOOP;
    }
    int32_t number = (int32_t)scan->num_notes++;
    int key = channel << 7 | pitch;
    uint16_t place = (uint16_t)(part->port << 4 | channel);
    scan->notes[number] = (Note){tick, 0, NONE, place, pitch, velocity, part->programs[channel], BY_END};
    if (part->first[key] == NONE) {
        part->first[key] = part->since_silence[key] = number;
    } else {
        scan->notes[part->last[key]].next = number;
    }
    part->last[key] = number;
    part->num_sounding[channel]++;
    return DONE;
}

static Outcome keep_stray(Scan *scan, Stray stray)
{
    if (scan->num_strays == scan->room_for_strays) {
        scan->room_for_strays = 2 * scan->room_for_strays + 64;
        Stray *strays = PyMem_Realloc(scan->strays, (size_t)scan->room_for_strays * sizeof(Stray));
        if (strays == NULL) {
            PyErr_NoMemory();
            return FAILED;
        }
        scan->strays = strays;
    }
    scan->strays[scan->num_strays++] = stray;
    return DONE;
}

/* Ends the first of the notes that sound on a key. */
static Outcome end_note(Scan *scan, Part *part, int channel, uint8_t pitch, int64_t tick)
{
    int key = channel << 7 | pitch;
    if (part->first[key] == NONE) {
        return keep_stray(scan, (Stray){tick, part->port << 4 | channel, pitch});
    }
    Note *note = &scan->notes[part->first[key]];
    note->duration = tick - note->onset;
    note->cause = BY_OFF;
    scan->num_usual += tick > note->onset;
    part->first[key] = note->next;
    part->num_sounding[channel]--;
    return DONE;
}

/* Ends the notes of a key; at a silence those that begin at its tick sound on. */
static void cut(Scan *scan, Part *part, int key, int64_t tick, uint8_t cause)
{
    int32_t first = part->first[key], number = part->since_silence[key];
    if (first == NONE || (cause == BY_SILENCE && scan->notes[first].onset == tick)) {
        return;
    }
    for (; number != first; number = scan->notes[number].next) {
        scan->notes[number].cause = UNSURE;
        scan->num_usual -= scan->notes[number].duration > 0;
    }
    while (number != NONE && !(cause == BY_SILENCE && scan->notes[number].onset == tick)) {
        Note *note = &scan->notes[number];
        note->duration = tick - note->onset;
        note->cause = cause;
        number = note->next;
        part->num_sounding[key >> 7]--;
    }
    part->first[key] = part->since_silence[key] = number;
}

static void cut_channel(Scan *scan, Part *part, int channel, int64_t tick, uint8_t cause)
{
    for (int key = channel << 7; part->num_sounding[channel] > 0 && key < (channel + 1) << 7; key++) {
        cut(scan, part, key, tick, cause);
    }
}

static Outcome control(Scan *scan, Part *part, int channel, uint8_t number, uint8_t value, int64_t tick)
{
    int place = part->port << 4 | channel;
    if (number == BANK) {
        part->banks[channel] = (int8_t)value;
    } else if (number == SUSTAIN_PEDAL) {
        return keep(scan->pedals, Py_BuildValue("(iLi)", place, (long long)tick, (int)value), PY_SSIZE_T_MAX);
    } else if ((number == ALL_SOUND_OFF || number >= ALL_NOTES_OFF) && part->silenced[channel] < tick) {
        part->silenced[channel] = tick;
        cut_channel(scan, part, channel, tick, BY_SILENCE);
        return keep(scan->silences, Py_BuildValue("(iL)", place, (long long)tick), PY_SSIZE_T_MAX);
    }
    return DONE;
}

static Outcome choose(Scan *scan, Part *part, int channel, int8_t program, int64_t tick)
{
    int8_t bank = part->banks[channel];
    if (part->programs[channel] == program && part->program_banks[channel] == bank) {
        return DONE;
    }
    part->programs[channel] = program;
    part->program_banks[channel] = bank;
    PyObject *change =
        Py_BuildValue("(iLii)", part->port << 4 | channel, (long long)tick, (int)program, (int)bank);
    return keep(scan->programs, change, scan->max_changes);
}

/* Ends what sounds: the track ends or leaves the port. */
static void close_part(Scan *scan, Part *part, int64_t tick)
{
    for (int channel = 0; channel < 16; channel++) {
        cut_channel(scan, part, channel, tick, BY_END);
    }
}

static Outcome read_track(Scan *scan, Py_ssize_t at, Py_ssize_t end)
{
    const uint8_t *data = scan->data;
    int64_t tick = 0;
    uint8_t status = 0;
    Part part;
    begin_part(&part, 0);
    for (; at < end || scan->num_events >= scan->max_events; scan->num_events++) {
        if (scan->num_events >= scan->max_events) {
            return LEFT_TO_LOOP;
        }
        int64_t delta = read_quantity(data, &at, end);
        if (delta < 0 || at >= end || delta > MAX_TICK - tick) {
            return LEFT_TO_LOOP;
        }
        tick += delta;
        Outcome outcome = DONE;
        if (data[at] >= SYSTEM) {
            uint8_t port = part.port;
            outcome = read_system(scan, &at, end, tick, &port);
            if (port != part.port) {
                close_part(scan, &part, tick);
                begin_part(&part, port);
            }
            if (outcome != DONE) {
                return outcome;
            }
            continue;
        }
        if (data[at] > 0x7F) {
            status = data[at++];
        }
        int kind = status & 0xF0, channel = status & 0x0F;
        int num_data = kind == PROGRAM_CHANGE || kind == PRESSURE ? 1 : 2;
        if (status == 0 || end - at < num_data) {
            return LEFT_TO_LOOP;
        }
        uint8_t value = data[at], second = num_data == 2 ? data[at + 1] : 0;
        if ((value | second) > 0x7F) {
            return LEFT_TO_LOOP;
        }
        at += num_data;
        if (kind == NOTE_ON && second > 0) {
            outcome = begin_note(scan, &part, channel, value, tick, second);
        } else if (kind == NOTE_ON || kind == NOTE_OFF) {
            outcome = end_note(scan, &part, channel, value, tick);
        } else if (kind == CONTROLLER) {
            outcome = control(scan, &part, channel, value, second, tick);
        } else if (kind == PROGRAM_CHANGE) {
            outcome = choose(scan, &part, channel, (int8_t)value, tick);
        }
        if (outcome != DONE) {
            return outcome;
        }
    }
    close_part(scan, &part, tick);
    PyObject *track = Py_BuildValue("(Ln)", (long long)tick, scan->num_notes);
    return keep(scan->tracks, track, PY_SSIZE_T_MAX);
}

/* `spans` is a list of tuples of start and end. */
static Outcome read_tracks(Scan *scan, PyObject *spans)
{
    for (Py_ssize_t i = 0; i < PyList_GET_SIZE(spans); i++) {
        Py_ssize_t start, end;
        if (!PyArg_ParseTuple(PyList_GET_ITEM(spans, i), "nn", &start, &end)) {
            return FAILED;
        }
        if (start < 0 || end < start || end > scan->size) {
            PyErr_SetString(PyExc_ValueError, "a span must lie within the data");
            return FAILED;
        }
        Outcome outcome = read_track(scan, start, end);
        if (outcome != DONE) {
            return outcome;
        }
    }
    return DONE;
}

/* The notes as 6 rows of int64: onset, duration, pitch, channel, program, velocity. */
static PyObject *note_rows(const Scan *scan)
{
    Py_ssize_t num_bytes = scan->num_notes * (Py_ssize_t)sizeof(int64_t);
    PyObject *rows = PyByteArray_FromStringAndSize(NULL, 6 * num_bytes);
    if (rows == NULL) {
        return NULL;
    }
    char *to = PyByteArray_AS_STRING(rows);
    for (Py_ssize_t i = 0; i < scan->num_notes; i++) {
        Note note = scan->notes[i];
        int64_t row[6] = {note.onset, note.duration, note.pitch, note.channel, note.program, note.velocity};
        for (int j = 0; j < 6; j++) {
            memcpy(to + j * num_bytes, &row[j], sizeof row[j]); /* bytearrays need not be aligned */
        }
        to += sizeof row[0];
    }
    return rows;
}

/* What ends each note, in a byte. */
static PyObject *note_causes(const Scan *scan)
{
    PyObject *causes = PyByteArray_FromStringAndSize(NULL, scan->num_notes);
    for (Py_ssize_t i = 0; causes != NULL && i < scan->num_notes; i++) {
        PyByteArray_AS_STRING(causes)[i] = (char)scan->notes[i].cause;
    }
    return causes;
}

static PyObject *found(const Scan *scan)
{
    PyObject *rows = note_rows(scan), *causes = note_causes(scan), *result = NULL;
    PyObject *strays = PyByteArray_FromStringAndSize((const char *)scan->strays,
                                                     scan->num_strays * (Py_ssize_t)sizeof(Stray));
    if (rows && causes && strays) {
        result = Py_BuildValue("(OOOniOOOOOOO)", rows, causes, strays, scan->num_notes - scan->num_usual,
                               (int)scan->max_port, scan->tracks, scan->programs, scan->kits, scan->silences,
                               scan->pedals, scan->tempos, scan->metres);
    }
    Py_XDECREF(rows);
    Py_XDECREF(causes);
    Py_XDECREF(strays);
    return result;
}

static PyObject *scan_events(PyObject *module, PyObject *arguments)
{
    (void)module;
    Py_buffer file;
    PyObject *spans, *result = NULL;
    Scan scan = {0};
    if (!PyArg_ParseTuple(arguments, "y*O!nnn", &file, &PyList_Type, &spans, &scan.max_events, &scan.max_notes,
                          &scan.max_changes)) {
        return NULL;
    }
    scan.data = file.buf;
    scan.size = file.len;
    Py_ssize_t room = Py_MIN(file.len / 3, INT32_MAX - 1); /* a note-on has 3 bytes or more */
    scan.max_notes = Py_MAX(0, Py_MIN(scan.max_notes, room));
    scan.notes = PyMem_Malloc((size_t)scan.max_notes * sizeof(Note));
    PyObject **lists[] = {&scan.tracks, &scan.programs, &scan.kits, &scan.silences,
                          &scan.pedals, &scan.tempos,   &scan.metres};
    const int num_lists = sizeof lists / sizeof lists[0];
    int is_ready = scan.notes != NULL;
    for (int i = 0; i < num_lists; i++) {
        *lists[i] = PyList_New(0);
        is_ready = is_ready && *lists[i] != NULL;
    }
    Outcome outcome = is_ready ? read_tracks(&scan, spans) : FAILED;
    if (outcome == DONE) {
        result = found(&scan);
    } else if (outcome == LEFT_TO_LOOP) {
        result = Py_NewRef(Py_None);
    } else if (!PyErr_Occurred()) {
        PyErr_NoMemory();
    }
    PyMem_Free(scan.notes);
    PyMem_Free(scan.strays);
    for (int i = 0; i < num_lists; i++) {
        Py_XDECREF(*lists[i]);
    }
    PyBuffer_Release(&file);
    return result;
}

static int add_version(PyObject *module)
{
    return PyModule_AddIntConstant(module, "VERSION", 2); /* midi_parser.SCAN_VERSION */
}

static PyModuleDef_Slot slots[] = {{Py_mod_exec, add_version}, {0, NULL}};
static PyMethodDef methods[] = {{"scan_events", scan_events, METH_VARARGS, NULL}, {NULL, NULL, 0, NULL}};
static struct PyModuleDef definition = {
    .m_base = PyModuleDef_HEAD_INIT, .m_name = "midi_scan", .m_size = 0, .m_methods = methods, .m_slots = slots};

PyMODINIT_FUNC PyInit_midi_scan(void)
{
    return PyModuleDef_Init(&definition);
}
