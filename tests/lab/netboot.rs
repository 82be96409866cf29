//! DH-415: real firmware boots from lanlord alone, to a running kernel, by the example that ships. SeaBIOS in CI;
//! `FIRMWARE=all` (`make soak`) adds EDK2 by PXE and by HTTP, and a kernel of Debian.

use std::fs;
use std::path::{Path, PathBuf};

use super::client::{Client, Kind};
use super::daemon::{Daemon, text};
use super::firmware::{Firmware, MAC, Machine, initrd, kernel, put, tools};
use super::space::{Lab, SERVER, need};

/// What is booted beyond what CI has time for: `FIRMWARE=all`, or `FIRMWARE=uefi-pxe` to see that one again.
fn more() -> Vec<Firmware> {
    let wanted = std::env::var("FIRMWARE").unwrap_or_default();
    let all = [("bios", Firmware::Bios), ("uefi-pxe", Firmware::UefiPxe), ("uefi-http", Firmware::UefiHttp)];
    let known = wanted.is_empty() || wanted == "all" || all.iter().any(|(name, _)| *name == wanted);
    assert!(known, "FIRMWARE is all, bios, uefi-pxe or uefi-http, not {wanted}");
    all.into_iter().filter(|(name, _)| wanted == "all" || *name == wanted).map(|(_, firmware)| firmware).collect()
}

/// The script that iPXE runs: a kernel beside it over HTTP, its file system over TFTP.
const MENU: &str = "#!ipxe
echo SCRIPT on ${platform} at ${net0/ip}
isset ${proxydhcp/next-server} && set server ${proxydhcp/next-server} || set server ${next-server}
kernel kernel x at=${net0/ip} from=${server} initrd=initrd console=ttyS0 panic=-1 no_timer_check || goto failed
initrd tftp://${server}/linux/initrd || goto failed
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
    let (lab, root) = ready(firmware, real);
    let folder = lab.dir().join("boot");
    fill(&folder, &root, firmware, real);
    let daemon = Daemon::start(&lab, &example(&folder));
    let mut machine = Machine::on(&lab, &root, firmware);
    let at = runs(&mut machine, real, SERVER);
    // firmware and iPXE are two clients to a server: each has its identifier
    let leases = daemon.list("/api/v1/leases");
    let mut own = leases.iter().filter(|lease| lease["mac"] == MAC).map(|lease| text(lease, "ip"));
    assert!(own.any(|ip| ip == at), "{at}: {leases:?}");
    ends(machine, firmware, real, &daemon);
}

/// The same beside a server that gives the addresses and knows nothing of booting (DH-414); a client that does not
/// boot gets nothing from us. With a menu, what was chosen is asked for on port 4011.
fn boots_beside(firmware: Firmware, real: bool, menu: bool) {
    let (lab, root) = ready(firmware, real);
    let folder = lab.dir().join("boot");
    fill(&folder, &root, firmware, real);
    let config = example(&folder).replace("pool = [\"10.77.0.100-10.77.0.199\"]\n", "");
    let config = config.replace("interface = \"eth0\"\n", "interface = \"eth0\"\nproxy = true\n");
    assert!(config.contains("proxy = true") && !config.contains("pool"), "{config}");
    let config = match menu {
        true => {
            let config = config.replace("[netboot]\n", "[netboot]\nmenu_timeout = 1\n");
            config.replace("user_class = ", "menu = \"Install\"\nuser_class = ") + "\n[[boot]]\nmenu = \"Disk\"\n"
        }
        false => config,
    };
    let daemon = Daemon::start(&lab, &config);
    let leases = format!("--dhcp-leasefile={}", lab.dir().join("dnsmasq.leases").display());
    let range = "--dhcp-range=10.77.0.200,10.77.0.220,255.255.255.0,1h";
    let other = ["dnsmasq", "--no-daemon", "--conf-file=/dev/null", "--port=0", "--no-ping", "--interface=eth0", range];
    let _other = lab.start("dnsmasq", "relay", &[&other[..], &["--dhcp-authoritative", &leases]].concat());
    let mut machine = Machine::on(&lab, &root, firmware);
    let at = runs(&mut machine, real, SERVER);
    let given = fs::read_to_string(lab.dir().join("dnsmasq.leases")).expect("the other server's leases");
    assert!(given.contains(MAC) && given.contains(&at), "{at}: {given}");
    ends(machine, firmware, real, &daemon);
    let offers = daemon.metric("lanlord_dhcp_messages_total", "type=\"DHCPOFFER\",direction=\"out\"");
    assert!(offers >= 1, "we have said what to boot");
    let chosen = daemon.metric("lanlord_dhcp_messages_total", "type=\"DHCPACK\",direction=\"out\"");
    assert!(!menu || chosen >= 1, "the choice was asked for on port 4011");
    let mut client = Client::start(&lab, Kind::Udhcpc, "c1", "pc1", &[]);
    assert_eq!(client.bound().server, "10.77.0.2");
    let after = daemon.metric("lanlord_dhcp_messages_total", "type=\"DHCPOFFER\",direction=\"out\"");
    assert_eq!(after, offers, "and nothing to who does not boot");
    assert!(daemon.metric("lanlord_dhcp_silent_total", "not-booting") >= 2, "DISCOVER and REQUEST of udhcpc");
    assert!(daemon.leased().is_empty(), "no lease is written");
}

fn ready(firmware: Firmware, real: bool) -> (Lab, PathBuf) {
    need(&[("dnsmasq", "dnsmasq-base"), ("udhcpc", "udhcpc")]);
    let root = tools(real || firmware != Firmware::Bios);
    (Lab::up(), root)
}

/// Waits until the kernel says that it runs; the address that it was told.
fn runs(machine: &mut Machine, real: bool, server: &str) -> String {
    machine.until(if real { "LINUX " } else { "KERNEL " });
    machine.until(&format!(" from={server}"));
    let serial = machine.serial();
    let told = regex::Regex::new(&format!(r" at=([0-9.]+) from={server}")).expect("an expression");
    told.captures(&serial).unwrap_or_else(|| panic!("no address: {serial}"))[1].to_owned()
}

fn ends(machine: Machine, firmware: Firmware, real: bool, daemon: &Daemon<'_>) {
    if !real {
        machine.off();
    }
    let served = |protocol: &str| {
        daemon.metric("lanlord_boot_files_total", &format!("protocol=\"{protocol}\",outcome=\"served\""))
    };
    // the script and the kernel; the file system; and iPXE, whose size EDK2 asks for first
    let (http, tftp) = match firmware {
        Firmware::Bios => (2, 1),
        Firmware::UefiPxe => (2, 3),
        Firmware::UefiHttp => (4, 1),
    };
    assert!(served("http") >= http && served("tftp") >= tftp, "{} {}", served("http"), served("tftp"));
    assert!(daemon.list("/api/v1/devices").is_empty(), "a computer is no phone");
}

/// The BIOS way in CI; with `FIRMWARE=all` a kernel of Debian besides, by every firmware: UEFI loads iPXE first, over
/// TFTP or HTTP, and iPXE the kernel.
#[test]
fn firmware_boots_a_kernel_from_lanlord_alone() {
    boots(Firmware::Bios, false);
    more().into_iter().for_each(|firmware| boots(firmware, true));
}

#[test]
fn firmware_boots_a_kernel_beside_another_dhcp_server() {
    boots_beside(Firmware::Bios, false, true);
    more().into_iter().for_each(|firmware| boots_beside(firmware, true, false));
}
