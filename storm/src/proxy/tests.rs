//! Against a real server on a real socket that says back what it is told.

use std::time::{Duration, Instant};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;

use super::{Link, Mode, Way};

/// Longer than anything here takes, shorter than a person waits.
const PATIENCE: Duration = Duration::from_secs(10);
/// How long nothing may come before it counts as nothing.
const SILENCE: Duration = Duration::from_millis(150);

/// A server that tells what it has heard and says it back; and a link to it.
async fn echo() -> (Link, mpsc::UnboundedReceiver<Vec<u8>>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let link = Link::open(listener.local_addr().unwrap()).await.unwrap();
    let (tell, heard) = mpsc::unbounded_channel();
    tokio::spawn(async move {
        while let Ok((mut socket, _)) = listener.accept().await {
            let tell = tell.clone();
            tokio::spawn(async move {
                let mut buffer = vec![0; 1024];
                while let Ok(count @ 1..) = socket.read(&mut buffer).await {
                    tell.send(buffer[..count].to_vec()).unwrap();
                    if socket.write_all(&buffer[..count]).await.is_err() {
                        break;
                    }
                }
            });
        }
    });
    (link, heard)
}

async fn client(link: &Link) -> TcpStream {
    TcpStream::connect(link.address()).await.unwrap()
}

async fn heard(server: &mut mpsc::UnboundedReceiver<Vec<u8>>) -> Vec<u8> {
    tokio::time::timeout(PATIENCE, server.recv()).await.unwrap().unwrap()
}

/// So many bytes of answer.
async fn told(client: &mut TcpStream, count: usize) -> std::io::Result<Vec<u8>> {
    let mut answer = vec![0; count];
    tokio::time::timeout(PATIENCE, client.read_exact(&mut answer)).await.expect("in time")?;
    Ok(answer)
}

async fn is_silent(client: &mut TcpStream) -> bool {
    tokio::time::timeout(SILENCE, client.read_u8()).await.is_err()
}

fn is_reset(error: &std::io::Error) -> bool {
    matches!(error.kind(), std::io::ErrorKind::ConnectionReset | std::io::ErrorKind::BrokenPipe)
}

#[tokio::test]
async fn it_passes_bytes_and_the_end_on() {
    let (link, _server) = echo().await;
    let mut client = client(&link).await;
    client.write_all(b"hello").await.unwrap();
    assert_eq!(told(&mut client, 5).await.unwrap(), b"hello");
    client.shutdown().await.unwrap();
    assert_eq!(client.read(&mut [0]).await.unwrap(), 0, "the server's end comes through as an end");
}

#[tokio::test]
async fn it_refuses_new_connections_and_leaves_old_ones() {
    let (link, _server) = echo().await;
    let mut old = client(&link).await;
    old.write_all(b"a").await.unwrap();
    told(&mut old, 1).await.unwrap();
    link.set(Mode::Refuse);
    let mut new = client(&link).await;
    assert!(is_reset(&told(&mut new, 1).await.unwrap_err()));
    old.write_all(b"b").await.unwrap();
    assert_eq!(told(&mut old, 1).await.unwrap(), b"b");
}

#[tokio::test]
async fn a_cut_resets_what_is_open_and_takes_what_is_new() {
    let (link, mut server) = echo().await;
    let mut old = client(&link).await;
    old.write_all(b"a").await.unwrap();
    told(&mut old, 1).await.unwrap();
    heard(&mut server).await;
    link.cut();
    assert!(is_reset(&told(&mut old, 1).await.unwrap_err()));
    let mut new = client(&link).await;
    new.write_all(b"b").await.unwrap();
    assert_eq!(told(&mut new, 1).await.unwrap(), b"b");
}

#[tokio::test]
async fn it_delays() {
    let (link, _server) = echo().await;
    link.set(Mode::Delay(Duration::from_millis(100)));
    let mut client = client(&link).await;
    let begin = Instant::now();
    client.write_all(b"a").await.unwrap();
    told(&mut client, 1).await.unwrap();
    assert!(begin.elapsed() >= Duration::from_millis(200), "once each way: {:?}", begin.elapsed());
}

#[tokio::test]
async fn a_half_open_link_keeps_its_sockets_and_gives_what_it_held_when_it_heals() {
    let (link, mut server) = echo().await;
    let mut old = client(&link).await;
    old.write_all(b"a").await.unwrap();
    told(&mut old, 1).await.unwrap();
    heard(&mut server).await;
    link.set(Mode::HalfOpen);
    let mut new = client(&link).await;
    old.write_all(b"b").await.unwrap();
    new.write_all(b"c").await.unwrap();
    assert!(is_silent(&mut old).await && is_silent(&mut new).await);
    assert!(server.try_recv().is_err(), "nothing has reached the server");
    link.set(Mode::Pass);
    assert_eq!(told(&mut old, 1).await.unwrap(), b"b");
    assert_eq!(told(&mut new, 1).await.unwrap(), b"c");
}

#[tokio::test]
async fn one_way_stops_questions_or_answers_alone() {
    let (link, mut server) = echo().await;
    let mut client = client(&link).await;
    link.set(Mode::Stop(Way::Down));
    client.write_all(b"a").await.unwrap();
    assert_eq!(heard(&mut server).await, b"a", "the question arrives");
    assert!(is_silent(&mut client).await, "the answer does not");
    link.set(Mode::Stop(Way::Up));
    assert_eq!(told(&mut client, 1).await.unwrap(), b"a");
    client.write_all(b"b").await.unwrap();
    assert!(is_silent(&mut client).await);
    assert!(server.try_recv().is_err(), "the question does not arrive");
}

#[tokio::test]
async fn it_drips() {
    let (link, mut server) = echo().await;
    link.set(Mode::Drip(Duration::from_millis(20)));
    let mut client = client(&link).await;
    let begin = Instant::now();
    client.write_all(b"drips").await.unwrap();
    assert_eq!(heard(&mut server).await, b"d", "byte by byte");
    assert_eq!(told(&mut client, 5).await.unwrap(), b"drips");
    assert!(begin.elapsed() >= Duration::from_millis(80), "four pauses between five bytes");
}

#[tokio::test]
async fn it_resets_in_the_middle_of_an_answer() {
    let (link, mut server) = echo().await;
    link.set(Mode::ResetAfter(3));
    let mut client = client(&link).await;
    client.write_all(b"hello").await.unwrap();
    assert_eq!(heard(&mut server).await, b"hello");
    let mut answer = Vec::new();
    let error = loop {
        match client.read_u8().await {
            Ok(byte) => answer.push(byte),
            Err(error) => break error,
        }
    };
    assert!(is_reset(&error), "{error}");
    // What had come before a reset may be lost with it.
    assert!(b"hel".starts_with(&answer), "{answer:?}");
}

#[tokio::test]
async fn it_eats_the_answer_to_what_was_done() {
    let (link, mut server) = echo().await;
    link.set(Mode::EatAnswer);
    let mut eaten = link.eaten();
    let mut client = client(&link).await;
    client.write_all(b"do it").await.unwrap();
    assert_eq!(heard(&mut server).await, b"do it");
    assert!(is_reset(&told(&mut client, 1).await.unwrap_err()));
    assert_eq!(*eaten.wait_for(|it| *it == 1).await.unwrap(), 1);
}

#[tokio::test]
async fn it_knows_its_connections_by_the_port_that_the_server_sees() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let link = Link::open(listener.local_addr().unwrap()).await.unwrap();
    let client = client(&link).await;
    let (server, from) = listener.accept().await.unwrap();
    let deadline = Instant::now() + PATIENCE;
    while !link.comes_from(from.port()) {
        assert!(Instant::now() < deadline);
        tokio::task::yield_now().await;
    }
    drop((client, server));
    while link.comes_from(from.port()) {
        assert!(Instant::now() < deadline);
        tokio::task::yield_now().await;
    }
}
