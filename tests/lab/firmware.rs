//! Real firmware in qemu, without KVM: SeaBIOS with the iPXE ROM of its network card, and EDK2. It comes out of
//! Debian's packages by `packaging/firmware.sh`, which keeps it below `target/`.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use super::space::{Lab, Process, wait};

/// From power-on to the end: 6 s of a quiet core for SeaBIOS, 15 s for EDK2, and more than five times what that
/// is on a machine which is busy with fifteen other things.
const LIMIT: Duration = Duration::from_secs(400);
/// The hardware address of the machine.
pub const MAC: &str = "52:54:00:77:00:01";
/// What qemu exits with when the kernel says that it is done.
const DONE: i32 = 0x10 << 1 | 1;

/// What the machine starts with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Firmware {
    /// Architecture 0; the ROM is iPXE and says so (option 77).
    Bios,
    /// Architecture 7: EDK2's PXE client, TFTP.
    UefiPxe,
    /// Architecture 16: EDK2's HTTP boot.
    UefiHttp,
}

/// A computer without a disk, at the bridge of the lab.
pub struct Machine {
    qemu: Process,
    serial: PathBuf,
}

/// The folder with qemu and all that it needs; fetched now if it is not there yet.
pub fn tools(all: bool) -> PathBuf {
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/packaging/firmware.sh");
    let out = Command::new(script).args(all.then_some("--all")).output().expect("packaging/firmware.sh");
    assert!(out.status.success(), "packaging/firmware.sh: {}", String::from_utf8_lossy(&out.stderr));
    PathBuf::from(String::from_utf8_lossy(&out.stdout).trim())
}

/// A program of the folder, with the loader and the libraries that came with it.
fn program(root: &Path, name: &str) -> Vec<String> {
    let find = |folder: PathBuf, is: fn(&str) -> bool| {
        let found = fs::read_dir(&folder).ok()?.flatten().map(|entry| entry.path());
        found.filter(|path| path.file_name().is_some_and(|n| is(&n.to_string_lossy()))).max()
    };
    let loader = ["lib64", "lib"].iter().find_map(|dir| find(root.join(dir), |n| n.starts_with("ld-linux-")));
    let loader = loader.expect("the dynamic loader");
    let triplet = find(root.join("usr/lib"), |n| n.ends_with("-linux-gnu")).expect("the libraries");
    let triplet = triplet.file_name().expect("a name").to_string_lossy().into_owned();
    let folders = ["lib", "usr/lib"].map(|dir| root.join(dir).join(&triplet).display().to_string()).join(":");
    let path = |p: &Path| p.display().to_string();
    // parts of qemu are modules
    let modules = format!("QEMU_MODULE_DIR={}", root.join("usr/lib").join(&triplet).join("qemu").display());
    vec!["env".into(), modules, path(&loader), "--library-path".into(), folders, path(&root.join("usr/bin").join(name))]
}

impl Machine {
    /// Plugs a tap into the bridge and switches the machine on.
    pub fn on(lab: &Lab, root: &Path, firmware: Firmware) -> Machine {
        tun();
        lab.ip("sw", &["tuntap", "add", "tap0", "mode", "tap"]);
        lab.ip("sw", &["link", "set", "tap0", "master", "br0", "up"]);
        let serial = lab.dir().join("serial.log");
        let own = |words: &[&str]| words.iter().map(|w| (*w).to_owned()).collect::<Vec<_>>();
        let mut argv = program(root, "qemu-system-x86_64");
        for folder in ["usr/share/qemu", "usr/share/seabios", "usr/lib/ipxe/qemu"] {
            argv.extend([own(&["-L"]), vec![root.join(folder).display().to_string()]].concat());
        }
        argv.extend(own(&["-accel", "tcg", "-m", "512", "-nodefaults", "-display", "none"]));
        // where nothing boots, as when an answer came too late on a busy machine, it is tried again
        argv.extend(own(&["-boot", "reboot-timeout=3000"]));
        argv.extend(own(&["-netdev", "tap,id=n0,ifname=tap0,script=no,downscript=no"]));
        argv.extend(own(&["-device", "isa-debug-exit,iobase=0xf4,iosize=4"]));
        argv.extend([own(&["-serial"]), vec![format!("file:{}", serial.display())]].concat());
        let card = format!("virtio-net-pci,netdev=n0,mac={MAC},bootindex=1");
        if firmware == Firmware::Bios {
            // graphics=off: SeaBIOS and iPXE then write to the serial port
            argv.extend([own(&["-machine", "pc,graphics=off", "-device"]), vec![card]].concat());
        } else {
            let vars = lab.dir().join("vars.fd");
            fs::copy(root.join("usr/share/OVMF/OVMF_VARS_4M.fd"), &vars).expect("variables of EDK2");
            let flash = |unit: u8, more: &str, file: &Path| {
                format!("if=pflash,format=raw,unit={unit}{more},file={}", file.display())
            };
            // romfile= : without the card's iPXE, so that the firmware's own clients boot
            argv.extend(own(&["-machine", "q35,smm=off", "-device", "virtio-rng-pci", "-device"]));
            argv.extend([format!("{card},romfile="), "-drive".into()]);
            argv.extend([flash(0, ",readonly=on", &root.join("usr/share/OVMF/OVMF_CODE_4M.fd")), "-drive".into()]);
            argv.push(flash(1, "", &vars));
            // what it would try first takes its time
            for family in if firmware == Firmware::UefiHttp { &[4, 6][..] } else { &[6] } {
                argv.extend(["-fw_cfg".into(), format!("name=opt/org.tianocore/IPv{family}PXESupport,string=n")]);
            }
        }
        let argv: Vec<&str> = argv.iter().map(String::as_str).collect();
        Machine { qemu: lab.start("qemu", "sw", &argv), serial }
    }

    /// What it has written to its serial port, without what moves the cursor and the breaks of its lines.
    pub fn serial(&self) -> String {
        let codes = regex::Regex::new(r"\x1b\[[0-9;=?]*[A-Za-z]|[\r\n\x00]").expect("an expression");
        let bytes = fs::read(&self.serial).unwrap_or_default();
        codes.replace_all(&String::from_utf8_lossy(&bytes), "").into_owned()
    }

    /// Waits until it is off, or has written `told`; fails if it is off without.
    pub fn until(&mut self, told: &str) {
        let over = wait(LIMIT, || self.serial().contains(told) || self.qemu.status().is_some());
        let serial = self.serial();
        let shown = serial.char_indices().rev().nth(3000).map_or(0, |(at, _)| at);
        assert!(over && serial.contains(told), "no `{told}`; {:?}; {}", self.qemu.status(), &serial[shown..]);
    }

    /// Waits until the kernel has switched it off.
    pub fn off(mut self) {
        assert!(wait(LIMIT, || self.qemu.status().is_some()), "it is still on: {}", self.serial());
        let code = self.qemu.status().and_then(|status| status.code());
        assert_eq!(code, Some(DONE), "{}", self.serial());
    }
}

/// A container may lack the device through which taps are made; its kernel has it.
fn tun() {
    use nix::sys::stat::{Mode, SFlag, makedev, mknod};
    let path = Path::new("/dev/net/tun");
    if !path.exists() {
        fs::create_dir_all("/dev/net").expect("/dev/net");
        mknod(path, SFlag::S_IFCHR, Mode::from_bits_truncate(0o600), makedev(10, 200)).expect("/dev/net/tun");
    }
}

/// Puts a file into a boot folder.
pub fn put(folder: &Path, name: &str, bytes: &[u8]) {
    let path = folder.join(name);
    fs::create_dir_all(path.parent().expect("a folder")).expect("the folder");
    fs::write(&path, bytes).expect("a boot file");
    fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).expect("readable for all");
}

/// A kernel of our own, by the boot protocol of Linux (Documentation/arch/x86/boot.rst, version 2.04): as large as
/// a small real one, it says on the serial port that it runs and with which command line, and ends the machine.
/// `tail` bytes follow, which the boot loader has to carry along.
pub fn kernel(tail: usize) -> Vec<u8> {
    let mut image = vec![0u8; 1024];
    let mut put = |at: usize, bytes: &[u8]| image[at..at + bytes.len()].copy_from_slice(bytes);
    put(0x1f1, &[1]); // one sector of set-up after the first
    put(0x1fe, &[0x55, 0xaa]);
    put(0x200, &[0xeb, 0x40]); // jump over the header, to 0x242
    put(0x202, b"HdrS");
    put(0x206, &0x0204u16.to_le_bytes());
    put(0x211, &[1]); // the rest of the image goes to 1 MiB
    put(0x22c, &0x37ff_ffff_u32.to_le_bytes());
    // Real mode; DS is the segment of the image, CS the one of 0x200.
    let code: [&[u8]; 14] = [
        &[0xbe, 0x00, 0x03],             // mov si, 0x300
        &[0xe8, 0x22, 0x00],             // call print
        &[0x66, 0xa1, 0x28, 0x02],       // mov eax, [0x228]     where the command line is
        &[0x89, 0xc6, 0x83, 0xe6, 0x0f], // mov si, ax; and si, 15
        &[0x66, 0xc1, 0xe8, 0x04],       // shr eax, 4
        &[0x8e, 0xd8],                   // mov ds, ax
        &[0xe8, 0x10, 0x00],             // call print
        &[0xba, 0xfd, 0x03],             // mov dx, 0x3fd        line status
        &[0xec, 0xa8, 0x40, 0x74, 0xfb], // in al, dx; test al, 0x40; jz -5
        &[0xb0, 0x10],                   // mov al, 0x10
        &[0xba, 0xf4, 0x00, 0xee],       // mov dx, 0xf4; out dx, al
        &[0xeb, 0xfe],                   // for ever
        // print: lodsb; test al, al; jz +18; mov bl, al; mov dx, 0x3fd
        &[0xac, 0x84, 0xc0, 0x74, 0x12, 0x88, 0xc3, 0xba, 0xfd, 0x03],
        // in al, dx; test al, 0x20; jz -5; mov dx, 0x3f8; mov al, bl; out dx, al; jmp print; ret
        &[0xec, 0xa8, 0x20, 0x74, 0xfb, 0xba, 0xf8, 0x03, 0x88, 0xd8, 0xee, 0xeb, 0xe9, 0xc3],
    ];
    put(0x242, &code.concat());
    put(0x300, b"KERNEL \0");
    image.extend((0..tail).map(|n| (n / 512) as u8));
    image
}

/// An initial file system for a real kernel, as an archive of cpio (the form "newc"): busybox, and an `init` that
/// says that it runs and with which command line.
pub fn initrd(root: &Path) -> Vec<u8> {
    let busybox = ["bin/busybox", "usr/bin/busybox"].iter().find_map(|path| fs::read(root.join(path)).ok());
    let busybox = busybox.expect("busybox");
    let init = "#!/bin/busybox sh\n/bin/busybox mount -t proc proc /proc\necho \"LINUX $(/bin/busybox cat /proc/cmdline)\"\n\
                /bin/busybox sleep 1\n/bin/busybox reboot -f\n";
    let mut out = Vec::new();
    let mut entry = |name: &str, mode: u32, device: (u32, u32), bytes: &[u8]| {
        let size = bytes.len() as u32;
        let fields = [0, mode, 0, 0, 1, 0, size, 0, 0, device.0, device.1, name.len() as u32 + 1, 0];
        out.extend(b"070701");
        fields.iter().for_each(|field| out.extend(format!("{field:08x}").bytes()));
        out.extend(name.bytes().chain([0]));
        out.resize(out.len().next_multiple_of(4), 0);
        out.extend_from_slice(bytes);
        out.resize(out.len().next_multiple_of(4), 0);
    };
    for folder in ["bin", "dev", "proc"] {
        entry(folder, 0o040_755, (0, 0), &[]);
    }
    entry("dev/console", 0o020_600, (5, 1), &[]);
    entry("bin/busybox", 0o100_755, (0, 0), &busybox);
    entry("init", 0o100_755, (0, 0), init.as_bytes());
    entry("TRAILER!!!", 0, (0, 0), &[]);
    out
}
