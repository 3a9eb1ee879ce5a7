//! The part of WASI preview 1 that command-line programs need: arguments, environment, clocks,
//! random numbers, standard streams, and files below one folder, to read.
//!
//! Functions get the memory of the program, and offsets in it. They return the errors of WASI.

use std::fs::{File, Metadata};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::{Component, Path, PathBuf};
use std::time::{Duration, Instant, SystemTime};

/// Error numbers of WASI.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub(crate) enum Errno {
    BadFile = 8,
    Fault = 21,
    Invalid = 28,
    Io = 29,
    IsFolder = 31,
    NoEntry = 44,
    NotFolder = 54,
    NotCapable = 76,
    NotPermitted = 63,
    Pipe = 70,
}

impl From<io::Error> for Errno {
    fn from(error: io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::NotFound => Self::NoEntry,
            io::ErrorKind::PermissionDenied => Self::NotPermitted,
            io::ErrorKind::InvalidInput => Self::Invalid,
            io::ErrorKind::NotADirectory => Self::NotFolder,
            io::ErrorKind::IsADirectory => Self::IsFolder,
            io::ErrorKind::BrokenPipe => Self::Pipe,
            _ => Self::Io,
        }
    }
}

type Result<T> = std::result::Result<T, Errno>;

/// The meaning of a file descriptor.
#[derive(Debug)]
enum Descriptor {
    Input,
    Output,
    Error,
    /// Written bytes are kept in memory.
    Kept(Vec<u8>),
    /// The folder that the program may read: the name it has for the program, and where it is.
    Folder {
        name: String,
        path: PathBuf,
    },
    File(File),
}

/// The types of files in WASI.
const CHARACTER_DEVICE: u8 = 2;
const FOLDER: u8 = 3;
const REGULAR_FILE: u8 = 4;

/// The world around a program.
#[derive(Debug)]
pub struct Wasi {
    args: Vec<Vec<u8>>,
    env: Vec<Vec<u8>>,
    descriptors: Vec<Option<Descriptor>>,
    started: Instant,
    pub(crate) exit_code: i32,
}

impl Wasi {
    /// Returns an environment with the standard streams of this process, and nothing else.
    pub fn inherit() -> Self {
        Self::with([Descriptor::Input, Descriptor::Output, Descriptor::Error])
    }

    /// Returns an environment without input. Output is kept for
    /// [`Instance::output`](crate::Instance::output), and bytes written to the stream for errors
    /// are dropped with the instance.
    pub fn captured() -> Self {
        Self::with([
            Descriptor::Kept(Vec::new()),
            Descriptor::Kept(Vec::new()),
            Descriptor::Kept(Vec::new()),
        ])
    }

    fn with(streams: [Descriptor; 3]) -> Self {
        Self {
            args: Vec::new(),
            env: Vec::new(),
            descriptors: streams.into_iter().map(Some).collect(),
            started: Instant::now(),
            exit_code: 0,
        }
    }

    /// Sets the arguments, the first of which is the program's name.
    pub fn set_args(&mut self, args: impl IntoIterator<Item = Vec<u8>>) {
        self.args = args.into_iter().collect();
    }

    /// Sets the environment: pairs of the form `name=value`.
    pub fn set_env(&mut self, env: impl IntoIterator<Item = Vec<u8>>) {
        self.env = env.into_iter().collect();
    }

    /// Lets the program read the files below a folder, which it finds as `name`.
    pub fn preopen(&mut self, name: &str, path: impl Into<PathBuf>) {
        self.descriptors.push(Some(Descriptor::Folder {
            name: name.into(),
            path: path.into(),
        }));
    }

    pub(crate) fn output(&self) -> &[u8] {
        match &self.descriptors[1] {
            Some(Descriptor::Kept(bytes)) => bytes,
            _ => &[],
        }
    }

    fn descriptor(&mut self, fd: u32) -> Result<&mut Descriptor> {
        let descriptor = self.descriptors.get_mut(fd as usize);
        descriptor.and_then(Option::as_mut).ok_or(Errno::BadFile)
    }

    pub(crate) fn args_get(&mut self, memory: &mut [u8], pointers: u32, bytes: u32) -> Result<()> {
        put_strings(memory, &self.args, pointers, bytes)
    }

    pub(crate) fn args_sizes_get(
        &mut self,
        memory: &mut [u8],
        count: u32,
        size: u32,
    ) -> Result<()> {
        put_sizes(memory, &self.args, count, size)
    }

    pub(crate) fn environ_get(
        &mut self,
        memory: &mut [u8],
        pointers: u32,
        bytes: u32,
    ) -> Result<()> {
        put_strings(memory, &self.env, pointers, bytes)
    }

    pub(crate) fn environ_sizes_get(
        &mut self,
        memory: &mut [u8],
        count: u32,
        size: u32,
    ) -> Result<()> {
        put_sizes(memory, &self.env, count, size)
    }

    pub(crate) fn clock_res_get(&mut self, memory: &mut [u8], clock: u32, to: u32) -> Result<()> {
        self.time(clock)?;
        put(memory, to, &1u64.to_le_bytes())
    }

    pub(crate) fn clock_time_get(&mut self, memory: &mut [u8], clock: u32, to: u32) -> Result<()> {
        let nanoseconds = self.time(clock)?.as_nanos() as u64;
        put(memory, to, &nanoseconds.to_le_bytes())
    }

    /// Returns the time of a clock. Clock 0 is that of the calendar. The time of the processor (2
    /// and 3) is taken to be the time after the start.
    fn time(&self, clock: u32) -> Result<Duration> {
        match clock {
            0 => Ok(SystemTime::now()
                .duration_since(SystemTime::UNIX_EPOCH)
                .unwrap_or_default()),
            1..=3 => Ok(self.started.elapsed()),
            _ => Err(Errno::Invalid),
        }
    }

    pub(crate) fn random_get(&mut self, memory: &mut [u8], to: u32, len: u32) -> Result<()> {
        File::open("/dev/urandom")?.read_exact(range_mut(memory, to, len)?)?;
        Ok(())
    }

    pub(crate) fn fd_close(&mut self, _: &mut [u8], fd: u32) -> Result<()> {
        self.descriptor(fd)?;
        self.descriptors[fd as usize] = None;
        Ok(())
    }

    pub(crate) fn fd_fdstat_get(&mut self, memory: &mut [u8], fd: u32, to: u32) -> Result<()> {
        let mut status = [0; 24];
        // Rights to read, seek, tell and write, and to open and stat files. The functions
        // themselves refuse operations that a descriptor does not allow.
        let rights: u64 = match self.descriptor(fd)? {
            Descriptor::Folder { .. } => (1 << 13) | (1 << 14) | (1 << 18) | (1 << 21),
            Descriptor::File(_) => (1 << 1) | (1 << 2) | (1 << 5) | (1 << 21),
            _ => (1 << 1) | (1 << 6) | (1 << 21),
        };
        status[0] = self.descriptor(fd)?.file_type();
        status[8..16].copy_from_slice(&rights.to_le_bytes());
        status[16..24].copy_from_slice(&((1u64 << 1) | (1 << 2) | (1 << 5)).to_le_bytes());
        put(memory, to, &status)
    }

    pub(crate) fn fd_filestat_get(&mut self, memory: &mut [u8], fd: u32, to: u32) -> Result<()> {
        let descriptor = self.descriptor(fd)?;
        let metadata = match descriptor {
            Descriptor::File(file) => Some(file.metadata()?),
            Descriptor::Folder { path, .. } => Some(path.metadata()?),
            _ => None,
        };
        put_metadata(memory, to, descriptor.file_type(), metadata.as_ref())
    }

    pub(crate) fn fd_prestat_get(&mut self, memory: &mut [u8], fd: u32, to: u32) -> Result<()> {
        let Descriptor::Folder { name, .. } = self.descriptor(fd)? else {
            return Err(Errno::BadFile);
        };
        let len = name.len() as u64;
        put(memory, to, &(len << 32).to_le_bytes())
    }

    pub(crate) fn fd_prestat_dir_name(
        &mut self,
        memory: &mut [u8],
        fd: u32,
        to: u32,
        len: u32,
    ) -> Result<()> {
        match self.descriptor(fd)? {
            Descriptor::Folder { name, .. } if name.len() <= len as usize => {
                put(memory, to, name.as_bytes())
            }
            Descriptor::Folder { .. } => Err(Errno::Invalid),
            _ => Err(Errno::BadFile),
        }
    }

    pub(crate) fn fd_read(
        &mut self,
        memory: &mut [u8],
        fd: u32,
        buffers: u32,
        count: u32,
        to: u32,
    ) -> Result<()> {
        let mut total = 0;
        for index in 0..count {
            let buffer = range_of(memory, buffers, index)?;
            let buffer = range_mut(memory, buffer.0, buffer.1)?;
            let read = match self.descriptor(fd)? {
                Descriptor::Input => io::stdin().lock().read(buffer)?,
                Descriptor::File(file) => file.read(buffer)?,
                Descriptor::Folder { .. } => return Err(Errno::IsFolder),
                _ => 0,
            };
            total = u32::wrapping_add(total, read as u32);
            if read < buffer.len() {
                break;
            }
        }
        put(memory, to, &total.to_le_bytes())
    }

    pub(crate) fn fd_write(
        &mut self,
        memory: &mut [u8],
        fd: u32,
        buffers: u32,
        count: u32,
        to: u32,
    ) -> Result<()> {
        let mut total = 0;
        for index in 0..count {
            let (start, len) = range_of(memory, buffers, index)?;
            let bytes = range_mut(memory, start, len)?;
            match self.descriptor(fd)? {
                Descriptor::Output => {
                    let mut output = io::stdout().lock();
                    output.write_all(bytes)?;
                    // The program has buffers of its own, and may trap before it ends.
                    output.flush()?;
                }
                Descriptor::Error => io::stderr().write_all(bytes)?,
                Descriptor::Kept(kept) => kept.extend_from_slice(bytes),
                _ => return Err(Errno::BadFile),
            }
            total = u32::wrapping_add(total, len);
        }
        put(memory, to, &total.to_le_bytes())
    }

    pub(crate) fn fd_seek(
        &mut self,
        memory: &mut [u8],
        fd: u32,
        offset: i64,
        whence: u32,
        to: u32,
    ) -> Result<()> {
        let Descriptor::File(file) = self.descriptor(fd)? else {
            return Err(Errno::Pipe);
        };
        let from = match whence {
            0 => SeekFrom::Start(u64::try_from(offset).map_err(|_| Errno::Invalid)?),
            1 => SeekFrom::Current(offset),
            2 => SeekFrom::End(offset),
            _ => return Err(Errno::Invalid),
        };
        put(memory, to, &file.seek(from)?.to_le_bytes())
    }

    pub(crate) fn path_filestat_get(
        &mut self,
        memory: &mut [u8],
        fd: u32,
        path: u32,
        len: u32,
        to: u32,
    ) -> Result<()> {
        let metadata = self.resolve(memory, fd, path, len)?.metadata()?;
        let file_type = if metadata.is_dir() {
            FOLDER
        } else {
            REGULAR_FILE
        };
        put_metadata(memory, to, file_type, Some(&metadata))
    }

    #[expect(clippy::too_many_arguments, reason = "WASI's interface")]
    pub(crate) fn path_open(
        &mut self,
        memory: &mut [u8],
        fd: u32,
        path: u32,
        len: u32,
        flags: u32,
        rights: u64,
        to: u32,
    ) -> Result<()> {
        /// To create, to fail if it is there, to truncate.
        const CHANGES: u32 = 1 | 4 | 8;
        const ONLY_FOLDER: u32 = 2;
        const RIGHT_TO_WRITE: u64 = 1 << 6;
        const RIGHT_TO_READ: u64 = 1 << 1;
        if flags & CHANGES != 0 || rights & (RIGHT_TO_WRITE | RIGHT_TO_READ) == RIGHT_TO_WRITE {
            return Err(Errno::NotPermitted);
        }
        let path = self.resolve(memory, fd, path, len)?;
        let descriptor = if path.is_dir() {
            Descriptor::Folder {
                name: String::new(),
                path,
            }
        } else if flags & ONLY_FOLDER != 0 {
            return Err(Errno::NotFolder);
        } else {
            Descriptor::File(File::open(path)?)
        };
        let free = self.descriptors.iter().position(Option::is_none);
        let opened = free.unwrap_or_else(|| {
            self.descriptors.push(None);
            self.descriptors.len() - 1
        });
        self.descriptors[opened] = Some(descriptor);
        put(memory, to, &(opened as u32).to_le_bytes())
    }

    /// Returns the real path of a file below a folder. Symbolic links may not lead out of it.
    fn resolve(&mut self, memory: &mut [u8], fd: u32, path: u32, len: u32) -> Result<PathBuf> {
        let Descriptor::Folder { path: folder, .. } = self.descriptor(fd)? else {
            return Err(Errno::NotFolder);
        };
        let bytes = range_mut(memory, path, len)?;
        let path = Path::new(std::str::from_utf8(bytes).map_err(|_| Errno::Invalid)?);
        if path.is_absolute() || path.components().any(|part| part == Component::ParentDir) {
            return Err(Errno::NotCapable);
        }
        let folder = folder.canonicalize()?;
        let path = folder.join(path).canonicalize()?;
        match path.starts_with(&folder) {
            true => Ok(path),
            false => Err(Errno::NotCapable),
        }
    }
}

impl Descriptor {
    fn file_type(&self) -> u8 {
        match self {
            Self::Folder { .. } => FOLDER,
            Self::File(_) => REGULAR_FILE,
            _ => CHARACTER_DEVICE,
        }
    }
}

fn range_mut(memory: &mut [u8], start: u32, len: u32) -> Result<&mut [u8]> {
    let range = memory.get_mut(start as usize..).ok_or(Errno::Fault)?;
    range.get_mut(..len as usize).ok_or(Errno::Fault)
}

fn put(memory: &mut [u8], to: u32, bytes: &[u8]) -> Result<()> {
    range_mut(memory, to, bytes.len() as u32)?.copy_from_slice(bytes);
    Ok(())
}

/// Returns start and length of the buffer with this number, in a list of buffers.
fn range_of(memory: &mut [u8], buffers: u32, index: u32) -> Result<(u32, u32)> {
    let at = u64::from(buffers) + 8 * u64::from(index);
    let at = u32::try_from(at).map_err(|_| Errno::Fault)?;
    let pair = range_mut(memory, at, 8)?;
    let pair = u64::from_le_bytes(pair.try_into().map_err(|_| Errno::Fault)?);
    Ok((pair as u32, (pair >> 32) as u32))
}

fn put_strings(
    memory: &mut [u8],
    strings: &[Vec<u8>],
    mut pointers: u32,
    mut to: u32,
) -> Result<()> {
    for string in strings {
        put(memory, pointers, &to.to_le_bytes())?;
        put(memory, to, string)?;
        to = to.wrapping_add(string.len() as u32);
        put(memory, to, &[0])?;
        to = to.wrapping_add(1);
        pointers = pointers.wrapping_add(4);
    }
    Ok(())
}

fn put_sizes(memory: &mut [u8], strings: &[Vec<u8>], count: u32, size: u32) -> Result<()> {
    let bytes: usize = strings.iter().map(|string| string.len() + 1).sum();
    put(memory, count, &(strings.len() as u32).to_le_bytes())?;
    put(memory, size, &(bytes as u32).to_le_bytes())
}

fn put_metadata(
    memory: &mut [u8],
    to: u32,
    file_type: u8,
    metadata: Option<&Metadata>,
) -> Result<()> {
    let mut status = [0; 64];
    status[16] = file_type;
    status[24] = 1;
    if let Some(metadata) = metadata {
        status[32..40].copy_from_slice(&metadata.len().to_le_bytes());
        let modified = metadata.modified()?.duration_since(SystemTime::UNIX_EPOCH);
        let modified = modified.unwrap_or_default().as_nanos() as u64;
        for field in status[40..].chunks_exact_mut(8) {
            field.copy_from_slice(&modified.to_le_bytes());
        }
    }
    put(memory, to, &status)
}
