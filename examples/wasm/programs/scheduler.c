/* Tasks with priorities pass packets to each other through queues, under a scheduler that runs one
 * step of the most urgent task at a time. */
#include "program.h"

typedef struct Packet Packet;
struct Packet {
    Packet *next;
    int to, kind;
    uint32_t data[4];
};

typedef enum { READY, WAITING, SUSPENDED } State;

typedef struct Task Task;
typedef struct Kernel Kernel;
typedef void Step(Kernel *kernel, Task *task, Packet *packet);

struct Task {
    Task *next;
    int id, priority;
    State state;
    Packet *queue;
    Step *step;
    uint32_t count, sum;
};

enum { TASKS = 8 };

struct Kernel {
    Task tasks[TASKS];
    Task *list;
    Packet *pool;
    uint32_t steps, passed;
};

static Packet *next_of(Packet *packet) { return packet->next; }
static void set_next(Packet *packet, Packet *next) { packet->next = next; }
static bool has_packets(const Task *task) { return task->queue != NULL; }

static void enqueue(Packet **queue, Packet *packet) {
    set_next(packet, NULL);
    while (*queue) queue = &(*queue)->next;
    *queue = packet;
}

static Packet *dequeue(Packet **queue) {
    Packet *packet = *queue;
    if (packet) *queue = next_of(packet);
    return packet;
}

static void make_ready(Task *task) { task->state = READY; }
static void make_waiting(Task *task) { task->state = WAITING; }
static void suspend(Task *task) { task->state = SUSPENDED; }
static bool is_ready(const Task *task) { return task->state == READY; }
static bool can_run(const Task *task) { return is_ready(task) || (task->state == WAITING && has_packets(task)); }
static Task *task_at(Kernel *kernel, int id) { return &kernel->tasks[id & (TASKS - 1)]; }

static Packet *allocate(Kernel *kernel) { return dequeue(&kernel->pool); }

static void release(Kernel *kernel, Packet *packet) {
    set_next(packet, kernel->pool);
    kernel->pool = packet;
}

static void send(Kernel *kernel, Packet *packet, int to) {
    Task *task = task_at(kernel, to);
    packet->to = to;
    enqueue(&task->queue, packet);
    if (task->state == SUSPENDED) make_waiting(task);
    kernel->passed++;
}

static Task *most_urgent(Kernel *kernel) {
    for (Task *task = kernel->list; task; task = task->next)
        if (can_run(task)) return task;
    return NULL;
}

static void note(Task *task, uint32_t value) {
    task->count++;
    task->sum = task->sum * 31 + value;
}

static uint32_t stir(uint32_t value) { return value ^ (value << 7) ^ (value >> 5); }

static void produce(Kernel *kernel, Task *task, Packet *packet) {
    if (packet) release(kernel, packet);
    Packet *made = allocate(kernel);
    if (!made) return suspend(task);
    made->kind = task->id;
    for (int i = 0; i < 4; i++) made->data[i] = stir(task->sum + (uint32_t)i);
    note(task, made->data[0]);
    send(kernel, made, 2 + (int)(task->sum % 4));
}

static void work(Kernel *kernel, Task *task, Packet *packet) {
    if (!packet) return make_waiting(task);
    for (int i = 0; i < 4; i++) packet->data[i] = stir(packet->data[i]);
    note(task, packet->data[packet->kind & 3]);
    send(kernel, packet, 6 + (int)(packet->data[1] & 1));
    make_waiting(task);
}

static void consume(Kernel *kernel, Task *task, Packet *packet) {
    if (!packet) return make_waiting(task);
    note(task, packet->data[2]);
    int from = packet->kind;
    release(kernel, packet);
    make_ready(task_at(kernel, from));
    make_waiting(task);
}

static void run_step(Kernel *kernel, Task *task) {
    Packet *packet = dequeue(&task->queue);
    kernel->steps++;
    task->step(kernel, task, packet);
}

static void insert(Kernel *kernel, Task *task) {
    Task **at = &kernel->list;
    while (*at && (*at)->priority >= task->priority) at = &(*at)->next;
    task->next = *at;
    *at = task;
}

static void add_task(Kernel *kernel, int id, int priority, Step *step) {
    Task *task = task_at(kernel, id);
    memset(task, 0, sizeof *task);
    task->id = id;
    task->priority = priority;
    task->step = step;
    task->sum = (uint32_t)id * 77;
    make_ready(task);
    insert(kernel, task);
}

int main(int argc, char **argv) {
    static Kernel kernel;
    static Packet packets[64];
    int rounds = rounds_from(argc, argv, 8);
    for (int round = 0; round < rounds; round++) {
        memset(&kernel, 0, sizeof kernel);
        for (int i = 0; i < 64; i++) release(&kernel, &packets[i]);
        for (int id = 0; id < 2; id++) add_task(&kernel, id, 1, produce);
        for (int id = 2; id < 6; id++) add_task(&kernel, id, id, work);
        for (int id = 6; id < 8; id++) add_task(&kernel, id, 10 - id + (round + seed) % 3, consume);
        Task *task;
        while (kernel.steps < 1000000 && (task = most_urgent(&kernel))) run_step(&kernel, task);
        sum_add(kernel.passed);
        for (int id = 0; id < TASKS; id++) sum_add(task_at(&kernel, id)->sum);
    }
    return finish("scheduler");
}
