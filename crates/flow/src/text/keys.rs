//! Splitting `key=value,key,key(value)` lists.

/// Iterator over the pairs of a list: keys with `=` or `:` and a value, with a parenthesized value, or alone.
#[derive(Clone, Debug)]
pub struct KeyValues<'a> {
    rest: &'a str,
}

/// Splits a list at commas and white space outside parentheses.
pub fn split_key_values(s: &str) -> KeyValues<'_> {
    KeyValues { rest: s }
}

impl<'a> KeyValues<'a> {
    /// What has not been read yet.
    pub fn rest(&self) -> &'a str {
        self.rest
    }
}

const SEPARATOR: u8 = 1;
const KEY_END: u8 = 2;
const PAREN: u8 = 4;

/// What each byte can end.
static CLASS: [u8; 256] = {
    let mut t = [0; 256];
    t[b',' as usize] = SEPARATOR | KEY_END;
    t[b' ' as usize] = SEPARATOR | KEY_END;
    t[b'\t' as usize] = SEPARATOR | KEY_END;
    t[b'\r' as usize] = SEPARATOR | KEY_END;
    t[b'\n' as usize] = SEPARATOR | KEY_END;
    t[b':' as usize] = KEY_END;
    t[b'=' as usize] = KEY_END;
    t[b'(' as usize] = KEY_END | PAREN;
    t[b')' as usize] = PAREN;
    t
};

impl<'a> Iterator for KeyValues<'a> {
    type Item = (&'a str, &'a str);

    fn next(&mut self) -> Option<(&'a str, &'a str)> {
        let s = self.rest;
        let bytes = s.as_bytes();
        let start = skip_until(bytes, 0, |class| class & SEPARATOR == 0);
        if start == bytes.len() {
            self.rest = "";
            return None;
        }
        let key_end = skip_until(bytes, start, |class| class & KEY_END != 0);
        let key = &s[start..key_end];
        let (value_start, value_end, next) = match bytes.get(key_end) {
            Some(b'(') => {
                let end = matching_paren(bytes, key_end + 1);
                if bytes.get(end + 1..end + 3) == Some(b"->") {
                    // `check_pkt_larger(100)->reg0[0]` is one value.
                    let end = value_end(bytes, end + 1);
                    (key_end + 1, end, (end + 1).min(bytes.len()))
                } else {
                    (key_end + 1, end, (end + 1).min(bytes.len()))
                }
            }
            Some(b':' | b'=') => {
                let end = value_end(bytes, key_end + 1);
                (key_end + 1, end, (end + 1).min(bytes.len()))
            }
            _ => (key_end, key_end, (key_end + 1).min(bytes.len())),
        };
        self.rest = s.get(next..).unwrap_or("");
        Some((key, s.get(value_start..value_end).unwrap_or("")))
    }
}

/// Index of the first byte from `at` whose class is wanted, or the end.
#[inline]
fn skip_until(bytes: &[u8], mut at: usize, wanted: impl Fn(u8) -> bool) -> usize {
    while let Some(b) = bytes.get(at) {
        if wanted(CLASS[usize::from(*b)]) {
            break;
        }
        at += 1;
    }
    at
}

/// Index of the parenthesis that closes the one before `from`, or the end.
fn matching_paren(bytes: &[u8], from: usize) -> usize {
    let (mut level, mut at) = (1, from);
    loop {
        at = skip_until(bytes, at, |class| class & PAREN != 0);
        match bytes.get(at) {
            Some(b'(') => level += 1,
            Some(_) => {
                level -= 1;
                if level == 0 {
                    return at;
                }
            }
            None => return bytes.len(),
        }
        at += 1;
    }
}

/// Index of the first separator outside parentheses, or the end.
fn value_end(bytes: &[u8], from: usize) -> usize {
    let (mut level, mut at) = (0u32, from);
    loop {
        at = skip_until(bytes, at, |class| class & (SEPARATOR | PAREN) != 0);
        match bytes.get(at) {
            Some(b'(') => level += 1,
            Some(b')') => level = level.saturating_sub(1),
            Some(_) if level > 0 => {}
            _ => return at.min(bytes.len()),
        }
        at += 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn splitting() {
        fn check(s: &str, want: &[(&str, &str)]) {
            assert_eq!(split_key_values(s).collect::<Vec<_>>(), want, "{s:?}");
        }
        check("a=b, c", &[("a", "b"), ("c", "")]);
        check("ct(a,b(c)),d:e", &[("ct", "a,b(c)"), ("d", "e")]);
        check("a=b(c,d)e,f", &[("a", "b(c,d)e"), ("f", "")]);
        check(" ,\t", &[]);
        check("a(b", &[("a", "b")]);
        check("output:1,resubmit(,2)", &[("output", "1"), ("resubmit", ",2")]);
    }
}
