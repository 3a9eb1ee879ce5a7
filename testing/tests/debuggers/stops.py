"""Runs a program in gdb and writes a line for each stop: the number of the run, the signal, and the
frames from the innermost to the entry."""

import os
import gdb

FRAMES = 400


STACK = 1 << 20
MAPPED = (0x7E0000000000, 0x800000000000)


def comparable(bits, stack):
    """Returns bits, without addresses, which differ between builds."""
    try:
        number = int(bits, 16)
    except ValueError:
        return bits
    if stack - STACK <= number < stack + STACK:
        return "stack"
    if MAPPED[0] <= number < MAPPED[1]:
        return "mapped"
    return "image" if image[0] <= number < image[1] else bits


def variables(frame):
    """Returns the frame's own variables that have a value, as name=bits."""
    found = []
    stack = int(frame.read_register("sp"))
    try:
        block = frame.block()
    except RuntimeError:
        return found
    while block is not None:
        for symbol in block:
            if symbol.is_variable or symbol.is_argument:
                value = symbol.value(frame)
                if not value.is_optimized_out:
                    bits = comparable(value.format_string(format="x"), stack)
                    found.append(f"{symbol.name}={bits}")
                    if symbol.name == "slot":
                        found.append(f"&slot={int(value.address):#x}")
        if block.function is not None:
            break
        block = block.superblock
    return found


def pointer(frame):
    """Returns the frame pointer; 0 in the frame of a tail call, which has none."""
    name = "rbp" if "x86-64" in frame.architecture().name() else "x29"
    value = frame.read_register(name)
    return 0 if value.is_optimized_out else int(value)


def text(frame):
    line = frame.find_sal().line
    kind = {gdb.INLINE_FRAME: "i", gdb.TAILCALL_FRAME: "t"}.get(frame.type(), "n")
    places = [f"{frame.pc():#x}", f"{pointer(frame):#x}"]
    return " ".join([str(frame.name()), str(line), kind] + places + variables(frame))


def keep_stack(end):
    """Writes the stack up to the frame pointer end, with the two words saved there."""
    if stacks:
        start = int(gdb.newest_frame().read_register("sp"))
        memory = gdb.selected_inferior().read_memory(start, end + 16 - start)
        stacks.write(f"{start:#x} {bytes(memory).hex()}\n")


def frames():
    frame = gdb.newest_frame()
    found = []
    while frame is not None and len(found) < FRAMES:
        name = frame.name() or "?"
        if name.startswith("entry"):
            keep_stack(pointer(frame))
            return found + ["entry"]
        if name not in ("stop", "probe"):
            found.append(text(frame))
        frame = frame.older()
    return found


signals = []
image = None
stacks = open("stacks.txt", "w") if "STOPS_STACKS" in os.environ else None
gdb.events.stop.connect(lambda event: signals.append(getattr(event, "stop_signal", "breakpoint")))
# Else it is that of the function where the program stops, which may be Rust's.
gdb.execute("set language c")
for command in os.environ["STOPS_SETUP"].split(";"):
    gdb.execute(command, to_string=True)
with open(os.environ["STOPS_OUTPUT"], "w") as output:
    for command in os.environ["STOPS_START"].split(";"):
        gdb.execute(command, to_string=True)
    while gdb.selected_thread() is not None:
        if image is None:
            image = [int(gdb.parse_and_eval(f"((unsigned long *)&image)[{n}]")) for n in (0, 1)]
        current = int(gdb.parse_and_eval("*(unsigned long *)&current_run"))
        try:
            found = frames()
        except gdb.error as error:
            found = [f"error: {error}"]
        output.write("\t".join([str(current), signals[-1]] + found) + "\n")
        gdb.execute("continue", to_string=True)
if stacks:
    stacks.close()
