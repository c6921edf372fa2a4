//! The wires over an echoing server, without Kafka.

use std::io::{ErrorKind, Read, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::time::{Duration, Instant};

use super::super::layout::Block;
use super::{Network, Wire};

/// Long enough for a loaded machine; what is expected comes at once.
const PATIENCE: Duration = Duration::from_secs(20);
/// Long enough that what passes would have come.
const SILENCE: Duration = Duration::from_millis(300);

/// A server that echoes, and a network of one wire in front of it, on a port that stays reserved as long
/// as the block lives. The thread ends with the test.
fn echo() -> (Network, u16, Block) {
    let server = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let target = server.local_addr().unwrap().port();
    std::thread::spawn(move || {
        for client in server.incoming() {
            let client = client.unwrap();
            std::thread::spawn(move || std::io::copy(&mut &client, &mut &client));
        }
    });
    let block = Block::reserve(1).unwrap();
    (Network::open(&[(block.first, target)]).unwrap(), block.first, block)
}

fn connect(port: u16) -> std::io::Result<TcpStream> {
    let stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port))?;
    stream.set_read_timeout(Some(PATIENCE))?;
    Ok(stream)
}

fn ask(stream: &mut TcpStream, word: &[u8; 4]) -> std::io::Result<[u8; 4]> {
    stream.write_all(word)?;
    hear(stream)
}

fn hear(stream: &mut TcpStream) -> std::io::Result<[u8; 4]> {
    let mut answer = [0; 4];
    stream.read_exact(&mut answer)?;
    Ok(answer)
}

/// Nothing comes, and the connection is not closed either.
fn is_silent(stream: &mut TcpStream) -> bool {
    stream.set_read_timeout(Some(SILENCE)).unwrap();
    let silent = stream.read(&mut [0; 1]).is_err_and(|e| e.kind() == ErrorKind::WouldBlock);
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    silent
}

#[test]
fn bytes_pass_and_the_end_of_a_stream_too() {
    let (_network, port, _block) = echo();
    let mut stream = connect(port).unwrap();
    assert_eq!(&ask(&mut stream, b"ping").unwrap(), b"ping");
    stream.shutdown(std::net::Shutdown::Write).unwrap();
    assert_eq!(stream.read(&mut [0; 1]).unwrap(), 0);
}

#[test]
fn a_cut_resets_and_refuses_until_the_wire_is_mended() {
    let (network, port, _block) = echo();
    let mut stream = connect(port).unwrap();
    ask(&mut stream, b"ping").unwrap();
    // A child that has not begun yet would keep the listener open.
    crate::children::while_none_starts(|| network.set(Wire::Cut)).unwrap();
    assert_eq!(hear(&mut stream).unwrap_err().kind(), ErrorKind::ConnectionReset);
    assert_eq!(connect(port).unwrap_err().kind(), ErrorKind::ConnectionRefused);
    network.set(Wire::Pass).unwrap();
    assert_eq!(&ask(&mut connect(port).unwrap(), b"pong").unwrap(), b"pong");
}

#[test]
fn a_black_hole_keeps_connections_and_lets_nothing_pass_until_it_closes() {
    let (network, port, _block) = echo();
    let mut old = connect(port).unwrap();
    ask(&mut old, b"ping").unwrap();
    network.set(Wire::Blackhole).unwrap();
    let mut new = connect(port).unwrap();
    old.write_all(b"old!").unwrap();
    new.write_all(b"new!").unwrap();
    assert!(is_silent(&mut old) && is_silent(&mut new));
    network.set(Wire::Pass).unwrap();
    assert_eq!(&hear(&mut old).unwrap(), b"old!");
    assert_eq!(&hear(&mut new).unwrap(), b"new!");
}

#[test]
fn a_black_hole_can_become_a_cut() {
    let (network, port, _block) = echo();
    network.set(Wire::Blackhole).unwrap();
    let mut stream = connect(port).unwrap();
    assert!(is_silent(&mut stream));
    network.set(Wire::Cut).unwrap();
    assert_eq!(hear(&mut stream).unwrap_err().kind(), ErrorKind::ConnectionReset);
}

#[test]
fn a_slow_wire_is_slow() {
    let (network, port, _block) = echo();
    network.set(Wire::Slow { bytes_per_s: 20_000 }).unwrap();
    let mut stream = connect(port).unwrap();
    let began = Instant::now();
    stream.write_all(&[7; 10_000]).unwrap();
    stream.read_exact(&mut [0; 10_000]).unwrap();
    // Half a second for one direction; the other runs beside it.
    assert!(began.elapsed() >= Duration::from_millis(400), "{:?}", began.elapsed());
}

#[test]
fn a_server_that_is_gone_is_a_reset() {
    let block = Block::reserve(1).unwrap();
    let (port, nobody) = (block.first, block.first + 1);
    let _network = Network::open(&[(port, nobody)]).unwrap();
    assert_eq!(hear(&mut connect(port).unwrap()).unwrap_err().kind(), ErrorKind::ConnectionReset);
}

#[test]
fn each_broker_has_a_wire_of_its_own() {
    let (network, _port, _block) = echo();
    assert!(network.set_one(1, Wire::Cut).is_ok());
    assert!(network.set_one(2, Wire::Cut).is_err());
    assert!(network.set_one(0, Wire::Cut).is_err());
}
