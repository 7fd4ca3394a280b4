// Threads that wait in the ways of Rust's standard library.
use std::sync::{mpsc, Arc, Barrier, Condvar, Mutex, RwLock};
use std::{thread, time::Duration};

fn deep(n: u32, last: &dyn Fn()) {
    if n == 0 { last() } else { deep(n - 1, last); std::hint::black_box(n); }
}

fn main() {
    let lock = Arc::new(Mutex::new(0));
    let held = lock.lock().unwrap();
    let rw = Arc::new(RwLock::new(0));
    let written = rw.write().unwrap();
    let other = lock.clone();
    thread::spawn(move || deep(3, &|| drop(other.lock())));
    let other = rw.clone();
    thread::spawn(move || deep(5, &|| drop(other.read())));
    let pair = Arc::new((Mutex::new(false), Condvar::new()));
    let theirs = pair.clone();
    thread::spawn(move || drop(theirs.1.wait(theirs.0.lock().unwrap())));
    let (sender, receiver) = mpsc::channel::<u8>();
    thread::spawn(move || { let _ = receiver.recv(); });
    thread::spawn(|| thread::park());
    thread::spawn(|| drop(Barrier::new(2).wait()));
    thread::spawn(|| deep(2, &|| thread::sleep(Duration::from_secs(1000)))).join().unwrap();
    drop((sender, held, written));
}
