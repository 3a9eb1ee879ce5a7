"""Runs a program in lldb and writes a line for each stop, like stops.py does in gdb."""

import os
import lldb

FRAMES = 400
STACK = 1 << 20
MAPPED = (0x7E0000000000, 0x800000000000)
HOST_FRAMES = ("stop", "probe")


def bits_of(value):
    """Returns the bits of a value as a number; None if it has no place."""
    data = value.GetData()
    size = value.GetByteSize()
    error = lldb.SBError()
    if value.GetError().Fail() or size == 0 or data.GetByteSize() < size:
        return None
    raw = data.ReadRawData(error, 0, size)
    return int.from_bytes(raw, "little") if error.Success() else None


def comparable(bits, stack, image):
    """Returns bits, without addresses, which differ between builds."""
    if stack - STACK <= bits < stack + STACK:
        return "stack"
    if MAPPED[0] <= bits < MAPPED[1]:
        return "mapped"
    return "image" if image[0] <= bits < image[1] else hex(bits)


def variables(frame, image):
    """Returns the frame's own variables that have a value, as name=bits."""
    found = []
    stack = frame.GetSP()
    for value in frame.GetVariables(True, True, False, True):
        bits = bits_of(value)
        if bits is not None:
            found.append(f"{value.GetName()}={comparable(bits, stack, image)}")
    return found


def text(frame, name, image):
    entry = frame.GetLineEntry()
    line = entry.GetLine() if entry.IsValid() else 0
    kind = "i" if frame.IsInlined() else "t" if frame.IsArtificial() else "n"
    places = [hex(frame.GetPC()), hex(frame.GetFP())]
    return " ".join([name, str(line), kind] + places + variables(frame, image))


def frames(thread, image):
    found = []
    for index in range(FRAMES):
        frame = thread.GetFrameAtIndex(index)
        if not frame.IsValid():
            break
        name = frame.GetFunctionName() or "?"
        if name.startswith("entry"):
            return found + ["entry"]
        if name not in HOST_FRAMES:
            found.append(text(frame, name, image))
    return found


def signal(process, thread):
    name = process.GetUnixSignals().GetSignalAsCString(thread.GetStopReasonDataAtIndex(0))
    # The host's own breakpoint, as in gdb.
    return "breakpoint" if name == "SIGTRAP" else name


def run(debugger):
    debugger.SetAsync(False)
    target = debugger.GetSelectedTarget()
    error = lldb.SBError()
    arguments = os.environ["STOPS_ARGUMENTS"].split()
    process = target.Launch(
        debugger.GetListener(), arguments, None, None, None, None, os.getcwd(), 0, False, error
    )
    if error.Fail():
        raise RuntimeError(f"ptrace: {error}")

    def address(name):
        symbol = target.FindSymbols(name)[0].GetSymbol()
        return symbol.GetStartAddress().GetLoadAddress(target)

    def word(address):
        return process.ReadUnsignedFromMemory(address, 8, error)

    current = address("current_run")
    image = [word(address("image") + offset) for offset in (0, 8)]
    with open(os.environ["STOPS_OUTPUT"], "w") as output:
        while process.GetState() == lldb.eStateStopped:
            thread = process.GetSelectedThread()
            fields = [str(word(current)), signal(process, thread)] + frames(thread, image)
            output.write("\t".join(fields) + "\n")
            error = process.Continue()
            if error.Fail():
                raise RuntimeError(str(error))
    if process.GetState() != lldb.eStateExited or process.GetExitStatus() != 0:
        raise RuntimeError(f"the host ended with {process.GetExitStatus()}")


def __lldb_init_module(debugger, _):
    run(debugger)
