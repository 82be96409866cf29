//! The forwarder against upstreams of our own on loopback.

use std::sync::atomic::{AtomicUsize, Ordering};

use super::*;
use crate::domain::dns::query::HEADER;
use crate::server::dns::forward::TOTAL;

const RD: u16 = 0x0100;

/// How an upstream answers the n-th question; packets to be sent back.
type Behaviour = fn(usize, &[u8]) -> Vec<Vec<u8>>;

struct Upstream {
    address: SocketAddr,
    asked: Arc<AtomicUsize>,
    seen: Arc<std::sync::Mutex<Vec<Vec<u8>>>>,
}

/// UDP and TCP on one port.
async fn upstream(udp: Behaviour, tcp: Behaviour) -> Upstream {
    let (socket, listener, address) = loop {
        let socket = tokio::net::UdpSocket::bind("127.0.0.1:0").await.unwrap();
        let address = socket.local_addr().unwrap();
        // somebody may have the port on TCP
        if let Ok(listener) = tokio::net::TcpListener::bind(address).await {
            break (socket, listener, address);
        }
    };
    let asked = Arc::new(AtomicUsize::new(0));
    let seen = Arc::new(std::sync::Mutex::new(Vec::new()));
    let (count, log) = (asked.clone(), seen.clone());
    tokio::spawn(async move {
        let mut buffer = [0; 2_048];
        while let Ok((n, from)) = socket.recv_from(&mut buffer).await {
            let nth = count.fetch_add(1, Ordering::SeqCst);
            log.lock().unwrap().push(buffer[..n].to_vec());
            for answer in udp(nth, &buffer[..n]) {
                socket.send_to(&answer, from).await.unwrap();
            }
        }
    });
    let count = asked.clone();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let nth = count.fetch_add(1, Ordering::SeqCst);
            if let Some(packet) = receive(&mut stream).await {
                for answer in tcp(nth, &packet) {
                    send(&mut stream, &answer).await;
                }
            }
        }
    });
    Upstream { address, asked, seen }
}

fn question_len(packet: &[u8]) -> usize {
    packet[HEADER..].iter().position(|b| *b == 0).unwrap() + 5
}

/// An answer with these flags, code and records (already encoded, owners pointing at the question).
fn reply(packet: &[u8], flags: u16, answers: &[&[u8]], authority: &[&[u8]]) -> Vec<u8> {
    let mut out = packet[..HEADER + question_len(packet)].to_vec();
    out[2..4].copy_from_slice(&(0x8180 | flags).to_be_bytes());
    out[6..8].copy_from_slice(&(answers.len() as u16).to_be_bytes());
    out[8..10].copy_from_slice(&(authority.len() as u16).to_be_bytes());
    out[10..12].copy_from_slice(&[0, 0]);
    answers.iter().chain(authority).for_each(|r| out.extend_from_slice(r));
    out
}

const A: &[u8] = b"\xc0\x0c\0\x01\0\x01\0\0\x01\x2c\0\x04\xc6\x33\x64\x07";
const EVIL: &[u8] = b"\x04evil\x03org\0\0\x01\0\x01\0\0\x01\x2c\0\x04\x06\x06\x06\x06";

fn good(_: usize, packet: &[u8]) -> Vec<Vec<u8>> {
    vec![reply(packet, 0, &[A, EVIL], &[])]
}

fn silent(_: usize, _: &[u8]) -> Vec<Vec<u8>> {
    Vec::new()
}

fn bed(upstreams: &[&Upstream]) -> Bed {
    Bed::new(|s| s.forward = upstreams.iter().map(|u| u.address).collect())
}

#[tokio::test]
async fn a_foreign_name_is_asked_once_and_then_answered_from_the_cache() {
    let up = upstream(good, good).await;
    let bed = bed(&[&up]);
    for _ in 0..3 {
        let answer = bed.udp(&question("www.elsewhere.org", 1, 7, RD)).await.unwrap();
        assert_eq!(show(&answer), "0 rd ra q1 an1 ns0 ar0", "what is not the question's is dropped");
        assert_eq!(answer[answer.len() - 4..], [0xc6, 0x33, 0x64, 7]);
    }
    assert_eq!(up.asked.load(Ordering::SeqCst), 1);
    let tcp = bed.tcp(&question("www.elsewhere.org", 1, 7, RD)).await.unwrap();
    assert_eq!(show(&tcp), "0 rd ra q1 an1 ns0 ar0");
    bed.stop().await;
}

#[tokio::test]
async fn only_who_may_and_asks_for_recursion_has_it() {
    let up = upstream(good, good).await;
    let open = bed(&[&up]);
    assert_eq!(show(&open.udp(&question("www.elsewhere.org", 1, 7, 0)).await.unwrap()), "5 ra q1 an0 ns0 ar0");
    open.stop().await;
    let closed = Bed::new(|s| {
        s.forward = vec![up.address];
        s.recursion = vec!["10.0.0.0/8".parse().unwrap()];
    });
    assert_eq!(show(&closed.udp(&question("www.elsewhere.org", 1, 7, RD)).await.unwrap()), "5 rd q1 an0 ns0 ar0");
    assert_eq!(up.asked.load(Ordering::SeqCst), 0);
    closed.stop().await;
}

#[tokio::test]
async fn a_chain_that_leads_away_is_followed_for_who_may() {
    let up = upstream(good, good).await;
    let bed = bed(&[&up]);
    assert_eq!(show(&bed.udp(&question("far.lan.test", 1, 7, RD)).await.unwrap()), "0 aa rd ra q1 an2 ns0 ar0");
    assert_eq!(show(&bed.udp(&question("far.lan.test", 1, 7, 0)).await.unwrap()), "0 aa ra q1 an1 ns0 ar0");
    bed.stop().await;
}

#[tokio::test]
async fn own_names_and_special_names_are_never_asked_outside() {
    let up = upstream(good, good).await;
    let bed = bed(&[&up]);
    for name in ["no.lan.test", "x.invalid", "x.local", "1.1.168.192.in-addr.arpa", "localhost", "x.home.arpa"] {
        bed.udp(&question(name, 1, 7, RD)).await.unwrap();
    }
    assert_eq!(up.asked.load(Ordering::SeqCst), 0);
    bed.stop().await;
}

#[tokio::test]
async fn equal_questions_in_flight_ask_upstream_once() {
    fn late(_: usize, packet: &[u8]) -> Vec<Vec<u8>> {
        std::thread::sleep(Duration::from_millis(150));
        good(0, packet)
    }
    let up = upstream(late, good).await;
    let bed = bed(&[&up]);
    let mut stream = TcpStream::connect(bed.address).await.unwrap();
    for id in 0..20 {
        send(&mut stream, &question("www.elsewhere.org", 1, id, RD)).await;
    }
    for _ in 0..20 {
        assert_eq!(show(&receive(&mut stream).await.unwrap()), "0 rd ra q1 an1 ns0 ar0");
    }
    assert_eq!(up.asked.load(Ordering::SeqCst), 1);
    bed.stop().await;
}

#[tokio::test]
async fn wrong_ids_and_questions_are_dropped_and_the_wait_goes_on() {
    fn liar(_: usize, packet: &[u8]) -> Vec<Vec<u8>> {
        let mut id = reply(packet, 0, &[EVIL], &[]);
        id[0] ^= 0x55;
        let mut name = reply(packet, 0, &[EVIL], &[]);
        name[HEADER + 1] = b'z';
        let mut query = packet.to_vec();
        query[2] &= 0x7f;
        vec![id, name, query, vec![0; 5], reply(packet, 0, &[A], &[])]
    }
    let up = upstream(liar, silent).await;
    let bed = bed(&[&up]);
    let answer = bed.udp(&question("www.elsewhere.org", 1, 7, RD)).await.unwrap();
    assert_eq!(show(&answer), "0 rd ra q1 an1 ns0 ar0");
    let bogus = bed.dns.counters().read().into_iter().find(|c| c.0 == "lanlord_dns_upstream_bogus_total").unwrap();
    assert_eq!(bogus.2, 4);
    bed.stop().await;
}

#[tokio::test]
async fn ids_ports_and_letters_are_random() {
    let up = upstream(good, good).await;
    let bed = bed(&[&up]);
    for i in 0..8 {
        bed.udp(&question(&format!("a-long-enough-name-{i}.elsewhere.org"), 1, 7, RD)).await.unwrap();
    }
    let seen = up.seen.lock().unwrap().clone();
    let ids: std::collections::BTreeSet<_> = seen.iter().map(|p| [p[0], p[1]]).collect();
    assert!(ids.len() >= 7, "{ids:?}");
    assert!(seen.iter().all(|p| p.iter().any(u8::is_ascii_uppercase) && p.iter().any(u8::is_ascii_lowercase)));
    bed.stop().await;
}

#[tokio::test]
async fn a_cut_answer_and_one_in_another_case_are_asked_again_by_tcp() {
    fn cut(_: usize, packet: &[u8]) -> Vec<Vec<u8>> {
        vec![reply(packet, 0x200, &[], &[])]
    }
    fn lower(_: usize, packet: &[u8]) -> Vec<Vec<u8>> {
        let mut packet = packet.to_vec();
        packet[HEADER..].make_ascii_lowercase();
        good(0, &packet)
    }
    for behaviour in [cut as Behaviour, lower] {
        let up = upstream(behaviour, good).await;
        let bed = bed(&[&up]);
        let answer = bed.udp(&question("a-long-enough-name.elsewhere.org", 1, 7, RD)).await.unwrap();
        assert_eq!(show(&answer), "0 rd ra q1 an1 ns0 ar0");
        assert_eq!(up.asked.load(Ordering::SeqCst), 2);
        bed.stop().await;
    }
}

#[tokio::test]
async fn negatives_are_cached_by_their_soa() {
    fn nothing(_: usize, packet: &[u8]) -> Vec<Vec<u8>> {
        let soa = [
            b"\x09elsewhere\x03org\0\0\x06\0\x01\0\0\x01\x2c\0\x18\0\x01h\0".as_slice(),
            &[0, 0, 0, 1, 0, 0, 0, 1, 0, 0, 0, 1, 0, 0, 0, 1, 0, 0, 0, 60],
        ]
        .concat();
        vec![reply(packet, 3, &[], &[&soa])]
    }
    let up = upstream(nothing, silent).await;
    let bed = bed(&[&up]);
    for _ in 0..3 {
        let answer = bed.udp(&question("no.elsewhere.org", 1, 7, RD)).await.unwrap();
        assert_eq!(show(&answer), "3 rd ra q1 an0 ns1 ar0");
    }
    assert_eq!(up.asked.load(Ordering::SeqCst), 1);
    bed.stop().await;
}

#[tokio::test]
async fn after_a_failure_another_upstream_is_asked_and_local_names_are_not_slowed() {
    fn refused(_: usize, packet: &[u8]) -> Vec<Vec<u8>> {
        vec![reply(packet, 5, &[], &[])]
    }
    let (dead, bad, live) =
        (upstream(silent, silent).await, upstream(refused, refused).await, upstream(good, good).await);
    let bed = bed(&[&bad, &dead, &live]);
    let mut stream = TcpStream::connect(bed.address).await.unwrap();
    send(&mut stream, &question("www.elsewhere.org", 1, 1, RD)).await;
    send(&mut stream, &question("pc.lan.test", 1, 2, RD)).await;
    let local = receive(&mut stream).await.unwrap();
    assert_eq!(local[1], 2, "it came later and is answered first");
    let answer = receive(&mut stream).await.unwrap();
    assert_eq!(show(&answer), "0 rd ra q1 an1 ns0 ar0");
    bed.stop().await;
}

#[tokio::test]
async fn without_any_answer_it_is_servfail_within_the_limit() {
    let dead = upstream(silent, silent).await;
    let bed = bed(&[&dead]);
    let began = tokio::time::Instant::now();
    let answer = bed.udp(&with_opt(question("www.elsewhere.org", 1, 7, RD), 1232, 0, 0, b"")).await.unwrap();
    assert_eq!(show(&answer), "2 rd ra q1 an0 ns0 ar0 opt0 1232");
    const { assert!(TOTAL.as_secs() <= 5, "stub resolvers ask again after five seconds") };
    assert!(began.elapsed() < 5 * TOTAL, "{:?}", began.elapsed());
    bed.stop().await;
}
