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
#define NONE (-1) /* no note of that index */
#define SUSTAIN_PEDAL 64

enum { NOTE_OFF = 0x80, NOTE_ON = 0x90, CONTROLLER = 0xB0, PROGRAM_CHANGE = 0xC0, PRESSURE = 0xD0, SYSTEM = 0xF0 };
enum { ESCAPE = 0xF7, META = 0xFF, META_END = 0x2F, META_TEMPO = 0x51, META_METRE = 0x58 };

typedef enum { DONE, LEFT_TO_LOOP, FAILED } Outcome; /* FAILED: a Python exception is set */

typedef struct {
    int64_t onset;
    int64_t duration; /* 0 until the note ends */
    int32_t next;     /* note begun on the same key */
    uint8_t pitch, channel, velocity;
    int8_t program;
} Note;

typedef struct {
    const uint8_t *data;
    Py_ssize_t size;
    Py_ssize_t max_events, max_notes, max_changes;
    Py_ssize_t num_events, num_notes, num_kept; /* kept: notes with a duration */
    Note *notes;                                /* room for max_notes */
    PyObject *programs, *pedals, *tempos, *metres;
} Scan;

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

static Outcome keep_meta(Scan *scan, uint8_t kind, const uint8_t *data, int64_t length, int64_t tick)
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
    return DONE;
}

/* Reads the event whose status stands at `at`, which is moved behind it, or to `end` after the last. */
static Outcome read_system(Scan *scan, Py_ssize_t *at, Py_ssize_t end, int64_t tick)
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
    return keep_meta(scan, kind, data, length, tick);
}

static Outcome read_track(Scan *scan, Py_ssize_t at, Py_ssize_t end)
{
    const uint8_t *data = scan->data;
    int64_t tick = 0;
    uint8_t status = 0;
    int8_t programs[16];
    int32_t first[NUM_KEYS], last[NUM_KEYS]; /* of the notes that sound on a key; `last` counts if `first` does */
    memset(programs, NO_PROGRAM, sizeof programs);
    memset(first, NONE, sizeof first);
    for (;; scan->num_events++) {
        if (scan->num_events >= scan->max_events) {
            return LEFT_TO_LOOP;
        }
        if (at >= end) {
            return DONE;
        }
        int64_t delta = read_quantity(data, &at, end);
        if (delta < 0 || at >= end || delta > MAX_TICK - tick) {
            return LEFT_TO_LOOP;
        }
        tick += delta;
        if (data[at] >= SYSTEM) {
            Outcome outcome = read_system(scan, &at, end, tick);
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
        int key = channel << 7 | value;
        if (kind == NOTE_ON && second > 0) {
            if (scan->num_notes >= scan->max_notes) {
                return LEFT_TO_LOOP;
            }
            int32_t number = (int32_t)scan->num_notes++;
            scan->notes[number] = (Note){tick, 0, NONE, value, (uint8_t)channel, second, programs[channel]};
            if (first[key] == NONE) {
                first[key] = number;
            } else {
                scan->notes[last[key]].next = number;
            }
            last[key] = number;
        } else if (kind == NOTE_ON || kind == NOTE_OFF) {
            if (first[key] != NONE) {
                Note *note = &scan->notes[first[key]];
                note->duration = tick - note->onset;
                scan->num_kept += note->duration > 0;
                first[key] = note->next;
            }
        } else if (kind == CONTROLLER && value == SUSTAIN_PEDAL) {
            PyObject *pedal = Py_BuildValue("(iLi)", channel, (long long)tick, (int)second);
            if (keep(scan->pedals, pedal, PY_SSIZE_T_MAX) != DONE) {
                return FAILED;
            }
        } else if (kind == PROGRAM_CHANGE && programs[channel] != (int8_t)value) {
            programs[channel] = (int8_t)value;
            PyObject *change = Py_BuildValue("(iLi)", channel, (long long)tick, (int)value);
            Outcome outcome = keep(scan->programs, change, scan->max_changes);
            if (outcome != DONE) {
                return outcome;
            }
        }
    }
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

/* The kept notes as 6 rows of int64: onset, duration, pitch, channel, program, velocity. */
static PyObject *note_rows(const Scan *scan)
{
    Py_ssize_t num_bytes = scan->num_kept * (Py_ssize_t)sizeof(int64_t);
    PyObject *rows = PyByteArray_FromStringAndSize(NULL, 6 * num_bytes);
    if (rows == NULL) {
        return NULL;
    }
    char *to = PyByteArray_AS_STRING(rows);
    for (Py_ssize_t i = 0; i < scan->num_notes; i++) {
        Note note = scan->notes[i];
        if (note.duration > 0) {
            int64_t row[6] = {note.onset, note.duration, note.pitch, note.channel, note.program, note.velocity};
            for (int j = 0; j < 6; j++) {
                memcpy(to + j * num_bytes, &row[j], sizeof row[j]); /* bytearrays need not be aligned */
            }
            to += sizeof row[0];
        }
    }
    return rows;
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
    scan.programs = PyList_New(0);
    scan.pedals = PyList_New(0);
    scan.tempos = PyList_New(0);
    scan.metres = PyList_New(0);
    Outcome outcome = FAILED;
    if (scan.notes == NULL) {
        PyErr_NoMemory();
    } else if (scan.programs && scan.pedals && scan.tempos && scan.metres) {
        outcome = read_tracks(&scan, spans);
    }
    if (outcome == DONE) {
        PyObject *rows = note_rows(&scan);
        result = rows ? Py_BuildValue("(NOOOO)", rows, scan.programs, scan.pedals, scan.tempos, scan.metres) : NULL;
    } else if (outcome == LEFT_TO_LOOP) {
        result = Py_NewRef(Py_None);
    }
    PyMem_Free(scan.notes);
    Py_XDECREF(scan.programs);
    Py_XDECREF(scan.pedals);
    Py_XDECREF(scan.tempos);
    Py_XDECREF(scan.metres);
    PyBuffer_Release(&file);
    return result;
}

static PyMethodDef methods[] = {{"scan_events", scan_events, METH_VARARGS, NULL}, {NULL, NULL, 0, NULL}};
static struct PyModuleDef definition = {
    .m_base = PyModuleDef_HEAD_INIT, .m_name = "midi_scan", .m_size = 0, .m_methods = methods};

PyMODINIT_FUNC PyInit_midi_scan(void)
{
    return PyModuleDef_Init(&definition);
}
