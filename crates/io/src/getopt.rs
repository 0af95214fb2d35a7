//! Command lines as GNU getopt_long reads them: long options may be shortened to any unambiguous prefix, short
//! options may be bundled, `--` ends the options.

/// Whether an option takes an argument.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Takes {
    /// `--name`
    Nothing,
    /// `--name=VALUE` or `--name VALUE`
    Value,
    /// `--name` or `--name=VALUE`
    Maybe,
}

/// One option. `T` is what the program calls it.
#[derive(Clone, Copy, Debug)]
pub struct Opt<T> {
    /// Name without dashes; empty for an option that has only a short form.
    pub long: &'static str,
    /// One-letter form.
    pub short: Option<char>,
    /// Whether it takes an argument.
    pub takes: Takes,
    /// What the program calls it.
    pub id: T,
}

/// A long option.
pub const fn long<T>(long: &'static str, takes: Takes, id: T) -> Opt<T> {
    Opt { long, short: None, takes, id }
}

/// An option with a long and a short form.
pub const fn both<T>(long: &'static str, short: char, takes: Takes, id: T) -> Opt<T> {
    Opt { long, short: Some(short), takes, id }
}

/// Whether options may follow the first argument that is none.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Order {
    /// Options anywhere.
    Permute,
    /// The first argument that is no option ends them (the tools whose commands take options of their own).
    OptionsFirst,
}

/// A command line taken apart.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Parsed<T> {
    /// The options in the order given.
    pub options: Vec<(T, Option<String>)>,
    /// Everything else.
    pub rest: Vec<String>,
}

/// Takes `args` (without the program's name) apart. The error is the message to print after the program's name.
pub fn parse<T: Copy>(args: &[String], table: &[Opt<T>], order: Order) -> Result<Parsed<T>, String> {
    let mut out = Parsed { options: vec![], rest: vec![] };
    let mut it = args.iter();
    while let Some(arg) = it.next() {
        if arg == "--" {
            out.rest.extend(it.cloned());
            break;
        } else if let Some(body) = arg.strip_prefix("--") {
            let (name, inline) = match body.split_once('=') {
                Some((n, v)) => (n, Some(v.to_string())),
                None => (body, None),
            };
            let opt = find_long(name, body, table)?;
            let value = match (opt.takes, inline) {
                (Takes::Nothing, Some(_)) => return Err(format!("option '--{}' doesn't allow an argument", opt.long)),
                (Takes::Value, None) => match it.next() {
                    Some(v) => Some(v.clone()),
                    None => return Err(format!("option '--{}' requires an argument", opt.long)),
                },
                (_, v) => v,
            };
            out.options.push((opt.id, value));
        } else if arg.len() > 1 && arg.starts_with('-') {
            let mut chars = arg[1..].chars();
            while let Some(c) = chars.next() {
                let Some(opt) = table.iter().find(|o| o.short == Some(c)) else {
                    return Err(format!("invalid option -- '{c}'"));
                };
                if opt.takes == Takes::Nothing {
                    out.options.push((opt.id, None));
                    continue;
                }
                let attached = chars.as_str();
                let value = if !attached.is_empty() {
                    Some(attached.to_string())
                } else if opt.takes == Takes::Value {
                    match it.next() {
                        Some(v) => Some(v.clone()),
                        None => return Err(format!("option requires an argument -- '{c}'")),
                    }
                } else {
                    None
                };
                out.options.push((opt.id, value));
                break;
            }
        } else {
            out.rest.push(arg.clone());
            if order == Order::OptionsFirst {
                out.rest.extend(it.cloned());
                break;
            }
        }
    }
    Ok(out)
}

/// `whole` is the option as it was given, with its argument.
fn find_long<'t, T>(name: &str, whole: &str, table: &'t [Opt<T>]) -> Result<&'t Opt<T>, String> {
    if let Some(exact) = table.iter().find(|o| !o.long.is_empty() && o.long == name) {
        return Ok(exact);
    }
    let candidates: Vec<&Opt<T>> = table.iter().filter(|o| !o.long.is_empty() && o.long.starts_with(name)).collect();
    match candidates.as_slice() {
        [] => Err(format!("unrecognized option '--{whole}'")),
        [one] => Ok(one),
        many => {
            let list: Vec<String> = many.iter().map(|o| format!("'--{}'", o.long)).collect();
            Err(format!("option '--{whole}' is ambiguous; possibilities: {}", list.join(" ")))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TABLE: &[Opt<u8>] = &[
        both("timeout", 't', Takes::Value, 1),
        long("no-wait", Takes::Nothing, 2),
        long("no-chdir", Takes::Nothing, 3),
        both("verbose", 'v', Takes::Maybe, 4),
        both("help", 'h', Takes::Nothing, 5),
    ];

    type Expect<'a> = Result<(&'a [(u8, Option<&'a str>)], &'a [&'a str]), &'a str>;

    #[track_caller]
    fn check(line: &str, expect: Expect<'_>) {
        let args: Vec<String> = line.split_whitespace().map(String::from).collect();
        let got = parse(&args, TABLE, Order::OptionsFirst);
        match expect {
            Ok((options, rest)) => {
                let options: Vec<_> = options.iter().map(|(i, v)| (*i, v.map(String::from))).collect();
                assert_eq!(got, Ok(Parsed { options, rest: rest.iter().map(|s| s.to_string()).collect() }));
            }
            Err(e) => assert_eq!(got, Err(e.to_string())),
        }
    }

    #[test]
    fn command_lines() {
        check("--timeout=5 show", Ok((&[(1, Some("5"))], &["show"])));
        check("--time 5 show -h", Ok((&[(1, Some("5"))], &["show", "-h"])));
        check("-t5 -hv x", Ok((&[(1, Some("5")), (5, None), (4, None)], &["x"])));
        check("-vfoo:dbg", Ok((&[(4, Some("foo:dbg"))], &[])));
        check("-v foo", Ok((&[(4, None)], &["foo"])));
        check("-- --help", Ok((&[], &["--help"])));
        check("-", Ok((&[], &["-"])));
        check("--no-", Err("option '--no-' is ambiguous; possibilities: '--no-wait' '--no-chdir'"));
        check("--nope", Err("unrecognized option '--nope'"));
        check("--nope=1", Err("unrecognized option '--nope=1'"));
        check("--help=1", Err("option '--help' doesn't allow an argument"));
        check("--timeout", Err("option '--timeout' requires an argument"));
        check("-t", Err("option requires an argument -- 't'"));
        check("-z", Err("invalid option -- 'z'"));
    }

    #[test]
    fn options_after_arguments() {
        let args: Vec<String> = ["a", "-h", "b"].map(String::from).to_vec();
        let got = parse(&args, TABLE, Order::Permute).unwrap();
        assert_eq!((got.options.len(), got.rest.len()), (1, 2));
    }
}
