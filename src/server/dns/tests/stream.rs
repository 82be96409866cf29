//! Limits and behaviour of TCP (DN-611, DN-612).

use super::*;

#[tokio::test]
async fn questions_are_pipelined_and_all_answered() {
    let bed = Bed::new(|_| {});
    let mut stream = TcpStream::connect(bed.address).await.unwrap();
    let mut all = Vec::new();
    for id in 0..200u16 {
        let packet = question("pc.lan.test", 1, id, 0);
        all.extend_from_slice(&(packet.len() as u16).to_be_bytes());
        all.extend_from_slice(&packet);
    }
    stream.write_all(&all).await.unwrap();
    let mut ids = Vec::new();
    for _ in 0..200 {
        let answer = receive(&mut stream).await.unwrap();
        ids.push(u16::from_be_bytes([answer[0], answer[1]]));
    }
    ids.sort_unstable();
    assert_eq!(ids, (0..200).collect::<Vec<_>>());
    bed.stop().await;
}

#[tokio::test]
async fn a_client_that_closes_its_side_still_gets_what_it_asked() {
    let bed = Bed::new(|_| {});
    let mut stream = TcpStream::connect(bed.address).await.unwrap();
    send(&mut stream, &question("pc.lan.test", 1, 7, 0)).await;
    stream.shutdown().await.unwrap();
    assert_eq!(show(&receive(&mut stream).await.unwrap()), "0 aa q1 an1 ns0 ar0");
    assert!(receive(&mut stream).await.is_none(), "and then the end");
    bed.stop().await;
}

#[tokio::test]
async fn half_a_message_is_waited_for_and_then_given_up() {
    let bed = Bed::new(|_| {});
    let mut stream = TcpStream::connect(bed.address).await.unwrap();
    let packet = question("pc.lan.test", 1, 7, 0);
    let framed = [&(packet.len() as u16).to_be_bytes(), packet.as_slice()].concat();
    for byte in &framed {
        stream.write_all(std::slice::from_ref(byte)).await.unwrap();
    }
    assert!(receive(&mut stream).await.is_some(), "octet by octet is fine");
    stream.write_all(&framed[..9]).await.unwrap();
    let began = tokio::time::Instant::now();
    let mut rest = Vec::new();
    let end = tokio::time::timeout(GUARD, stream.read_to_end(&mut rest)).await;
    assert!(end.is_ok() && rest.is_empty(), "it was not closed");
    assert!(began.elapsed() >= Duration::from_secs(4), "closed after {:?}", began.elapsed());
    bed.stop().await;
}

#[tokio::test]
async fn beyond_sixteen_connections_of_one_source_the_longest_idle_goes() {
    let bed = Bed::new(|_| {});
    let mut streams = Vec::new();
    for i in 0..17u16 {
        let mut stream = TcpStream::connect(bed.address).await.unwrap();
        send(&mut stream, &question("pc.lan.test", 1, i, 0)).await;
        assert!(receive(&mut stream).await.is_some());
        streams.push(stream);
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    assert!(receive(&mut streams[0]).await.is_none(), "the first one was closed");
    for stream in &mut streams[1..] {
        send(stream, &question("pc.lan.test", 1, 9, 0)).await;
        assert!(receive(stream).await.is_some(), "the others live");
    }
    bed.stop().await;
}
