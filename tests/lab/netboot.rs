//! DH-415: real firmware boots from lanlord alone, to a running kernel, by the example that ships. SeaBIOS in CI;
//! `FIRMWARE=all` (`make soak`) adds EDK2 by PXE and by HTTP, and a kernel of Debian.

use std::fs;
use std::path::Path;

use super::daemon::{Daemon, text};
use super::firmware::{Firmware, MAC, Machine, initrd, kernel, put, tools};
use super::space::{Lab, need};

/// True if everything is booted, not only what CI has time for.
fn all() -> bool {
    std::env::var("FIRMWARE").is_ok_and(|firmware| firmware == "all")
}

/// The script that iPXE runs: a kernel beside it over HTTP, its file system over TFTP.
const MENU: &str = "#!ipxe
echo SCRIPT on ${platform} at ${net0/ip}
kernel kernel at=${net0/ip} from=${next-server} initrd=initrd console=ttyS0 panic=-1 no_timer_check || goto failed
initrd tftp://${next-server}/linux/initrd || goto failed
boot || goto failed
:failed
echo FAILED
sleep 1
reboot
";

/// The shipped example over a boot folder of this lab.
fn example(folder: &Path) -> String {
    let text = include_str!("../../config/examples/netboot.toml");
    assert!(text.contains("\"/srv/boot\""), "the example names its boot folder");
    text.replace("/srv/boot", &folder.display().to_string())
}

/// Fills a boot folder with a kernel and what leads to it.
fn fill(folder: &Path, root: &Path, firmware: Firmware, real: bool) {
    put(folder, "menu.ipxe", MENU.replace("kernel kernel", "kernel linux/kernel").as_bytes());
    if firmware != Firmware::Bios {
        put(folder, "ipxe.efi", &fs::read(root.join("boot/ipxe.efi")).expect("iPXE for UEFI"));
    }
    if real {
        let kernels = fs::read_dir(root.join("boot")).expect("its kernel").flatten().map(|entry| entry.path());
        let kernel = kernels.filter(|path| path.display().to_string().contains("vmlinuz-")).max().expect("a kernel");
        put(folder, "linux/kernel", &fs::read(kernel).expect("the kernel"));
        put(folder, "linux/initrd", &initrd(root));
    } else {
        put(folder, "linux/kernel", &kernel(3 << 20));
        put(folder, "linux/initrd", &[7; 300_000]);
    }
}

/// One machine, from power-on to a running kernel, with nobody on the network but lanlord.
fn boots(firmware: Firmware, real: bool) {
    need(&[]);
    let root = tools(real || firmware != Firmware::Bios);
    let lab = Lab::up();
    let folder = lab.dir().join("boot");
    fill(&folder, &root, firmware, real);
    let daemon = Daemon::start(&lab, &example(&folder));
    let mut machine = Machine::on(&lab, &root, firmware);
    let word = if real { "LINUX" } else { "KERNEL" };
    machine.until(&format!("{word} "));
    machine.until(" from=10.77.0.1");
    // firmware and iPXE are two clients to a server: each has its identifier
    let leases = daemon.list("/api/v1/leases");
    let mut own = leases.iter().filter(|lease| lease["mac"] == MAC).map(|lease| text(lease, "ip"));
    let serial = machine.serial();
    assert!(own.any(|ip| serial.contains(&format!("at={ip} from=10.77.0.1"))), "{leases:?} {serial}");
    if !real {
        machine.off();
    }
    let served = |protocol: &str| {
        daemon.metric("lanlord_boot_files_total", &format!("protocol=\"{protocol}\",outcome=\"served\""))
    };
    // the script and the kernel; the file system, and whatever the firmware loaded first
    assert!(served("http") >= 2 && served("tftp") >= 1, "{} {}", served("http"), served("tftp"));
    assert!(daemon.list("/api/v1/devices").is_empty(), "a computer is no phone");
}

/// The BIOS way in CI; with `FIRMWARE=all` a kernel of Debian besides, by every firmware: UEFI loads iPXE first, over
/// TFTP or HTTP, and iPXE the kernel.
#[test]
fn firmware_boots_a_kernel_from_lanlord_alone() {
    boots(Firmware::Bios, false);
    if all() {
        for firmware in [Firmware::Bios, Firmware::UefiPxe, Firmware::UefiHttp] {
            boots(firmware, true);
        }
    }
}
