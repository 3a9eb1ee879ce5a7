/* State machines: lifts that move between floors, driven by events, each state a function that is
 * called through a table, with guards and actions. */
#include "program.h"

typedef enum { TICK, CALL, ARRIVE, OPENED, CLOSED, EVENTS } EventKind;
typedef enum { IDLE, MOVING, OPENING, OPEN, CLOSING, STATES } State;

typedef struct {
    EventKind kind;
    int floor;
} Event;

typedef struct {
    State state;
    int floor, target, timer;
    uint32_t wanted, trips, waited;
} Lift;

typedef State Handler(Lift *lift, Event event);

enum { FLOORS = 24, LIFTS = 6 };

static uint32_t floor_bit(int floor) { return 1u << floor; }
static bool is_wanted(const Lift *lift, int floor) { return lift->wanted & floor_bit(floor); }
static void want(Lift *lift, int floor) { lift->wanted |= floor_bit(floor); }
static void forget(Lift *lift, int floor) { lift->wanted &= ~floor_bit(floor); }
static bool has_wishes(const Lift *lift) { return lift->wanted != 0; }
static bool is_there(const Lift *lift) { return lift->floor == lift->target; }
static int distance(int a, int b) { return a < b ? b - a : a - b; }
static int direction(const Lift *lift) { return lift->target > lift->floor ? 1 : -1; }
static void set_timer(Lift *lift, int ticks) { lift->timer = ticks; }
static bool is_due(Lift *lift) { return --lift->timer <= 0; }
static void move(Lift *lift) { lift->floor += direction(lift); }
static void count_trip(Lift *lift) { lift->trips++; }
static void count_wait(Lift *lift) { lift->waited++; }

static int nearest_wish(const Lift *lift) {
    int best = lift->floor, least = FLOORS;
    for (int floor = 0; floor < FLOORS; floor++)
        if (is_wanted(lift, floor) && distance(floor, lift->floor) < least) {
            least = distance(floor, lift->floor);
            best = floor;
        }
    return best;
}

static State start(Lift *lift) {
    if (!has_wishes(lift)) return IDLE;
    lift->target = nearest_wish(lift);
    count_trip(lift);
    if (is_there(lift)) {
        set_timer(lift, 2);
        return OPENING;
    }
    return MOVING;
}

static void note_call(Lift *lift, Event event) {
    if (event.kind == CALL) want(lift, event.floor);
}

static State idle(Lift *lift, Event event) {
    note_call(lift, event);
    return start(lift);
}

static State moving(Lift *lift, Event event) {
    note_call(lift, event);
    if (event.kind != TICK) return MOVING;
    move(lift);
    count_wait(lift);
    if (!is_there(lift) && !is_wanted(lift, lift->floor)) return MOVING;
    set_timer(lift, 2);
    return OPENING;
}

static State timed(Lift *lift, Event event, State now, State then, int ticks) {
    note_call(lift, event);
    if (event.kind != TICK || !is_due(lift)) return now;
    set_timer(lift, ticks);
    return then;
}

static State opening(Lift *lift, Event event) { return timed(lift, event, OPENING, OPEN, 3); }

static State open(Lift *lift, Event event) {
    forget(lift, lift->floor);
    return timed(lift, event, OPEN, CLOSING, 2);
}

static State closing(Lift *lift, Event event) {
    if (event.kind == CALL && event.floor == lift->floor) return OPENING;
    State state = timed(lift, event, CLOSING, IDLE, 0);
    return state == IDLE ? start(lift) : state;
}

static Handler *const handlers[STATES] = {idle, moving, opening, open, closing};

static void dispatch(Lift *lift, Event event) { lift->state = handlers[lift->state](lift, event); }
static Event tick(void) { return (Event){TICK, 0}; }
static Event call(int floor) { return (Event){CALL, floor}; }

static int load(const Lift *lift, int floor) { return distance(lift->floor, floor) + (has_wishes(lift) ? 6 : 0); }

static Lift *choose(Lift *lifts, int floor) {
    Lift *best = lifts;
    for (int i = 1; i < LIFTS; i++)
        if (load(&lifts[i], floor) < load(best, floor)) best = &lifts[i];
    return best;
}

int main(int argc, char **argv) {
    int rounds = rounds_from(argc, argv, 12);
    for (int round = 0; round < rounds; round++) {
        static Lift lifts[LIFTS];
        memset(lifts, 0, sizeof lifts);
        for (int time = 0; time < 200000; time++) {
            if (random_below(4) == 0) {
                int floor = (int)random_below(FLOORS);
                dispatch(choose(lifts, floor), call(floor));
            }
            for (int i = 0; i < LIFTS; i++) dispatch(&lifts[i], tick());
        }
        for (int i = 0; i < LIFTS; i++) {
            sum_add(lifts[i].trips);
            sum_add(lifts[i].waited);
        }
    }
    return finish("machines");
}
