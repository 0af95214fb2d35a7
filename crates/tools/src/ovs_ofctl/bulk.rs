//! Flows and messages by the hundred thousand: each block of them is shared out among the processors, and what comes
//! of it is put together in order.

use std::io::Read;

use super::client::Result;

/// Bytes that are read at once.
const BLOCK: usize = 1 << 20;

/// How many threads are worth having.
pub fn processors() -> usize {
    std::thread::available_parallelism().map_or(1, |n| n.get().min(8))
}

/// Does `work` on pieces of `items`, which get the index of their first item; gives the results in order. Fewer than
/// `least` items are not worth threads.
pub fn in_order<T: Send, R: Send>(least: usize, mut items: Vec<T>, work: impl Fn(usize, Vec<T>) -> R + Sync) -> Vec<R> {
    let n = processors();
    if n == 1 || items.len() < least {
        return vec![work(0, items)];
    }
    let size = items.len().div_ceil(n);
    let mut pieces = Vec::with_capacity(n);
    while items.len() > size {
        let at = (items.len() - 1) / size * size;
        pieces.push((at, items.split_off(at)));
    }
    let work = &work;
    std::thread::scope(|scope| {
        let others: Vec<_> = pieces.into_iter().rev().map(|(at, p)| scope.spawn(move || work(at, p))).collect();
        let mut results = vec![work(0, items)];
        for other in others {
            match other.join() {
                Ok(r) => results.push(r),
                Err(panic) => std::panic::resume_unwind(panic),
            }
        }
        results
    })
}

/// Calls `f` with blocks of lines and their numbers (from 1), without comments and blank lines. `-` is standard input.
pub fn for_line_blocks(file: &str, mut f: impl FnMut(Vec<(usize, &str)>) -> Result<()>) -> Result<()> {
    let failed = |e: std::io::Error| format!("{file}: open failed ({})", io::program::strerror(&e));
    let mut source: Box<dyn Read> =
        if file == "-" { Box::new(std::io::stdin()) } else { Box::new(std::fs::File::open(file).map_err(failed)?) };
    let mut data = Vec::new();
    let mut number = 0;
    loop {
        let n = source.by_ref().take(BLOCK as u64).read_to_end(&mut data).map_err(failed)?;
        let end = if n == 0 { data.len() } else { data.iter().rposition(|b| *b == b'\n').map_or(0, |at| at + 1) };
        let text = match std::str::from_utf8(&data[..end]) {
            Ok(text) => std::borrow::Cow::Borrowed(text),
            Err(_) => String::from_utf8_lossy(&data[..end]),
        };
        let mut lines = Vec::new();
        for line in text.lines() {
            number += 1;
            let line = line.split('#').next().unwrap_or("").trim_end();
            if !line.trim_start().is_empty() {
                lines.push((number, line));
            }
        }
        if !lines.is_empty() {
            f(lines)?;
        }
        if n == 0 {
            return Ok(());
        }
        data.drain(..end);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn order_is_kept() {
        for n in [0, 1, 99, 100, 101, 1000, 4097] {
            let items: Vec<usize> = (0..n).collect();
            let results = in_order(100, items.clone(), |at, piece| {
                assert!(piece.first().is_none_or(|first| *first == at));
                piece
            });
            assert_eq!(results.concat(), items);
        }
    }
}
