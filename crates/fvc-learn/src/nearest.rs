//! [`with_nearest`]: a name that nobody knows, with the one that was probably meant.

/// The name, and behind it what it may be a slip of: the known name with the fewest letters inserted, left out,
/// changed or swapped (Damerau 1964), where that is at most one of three.
///
/// ```
/// assert_eq!(fvc_learn::with_nearest("epoch", &["epochs", "depth"]), "epoch (did you mean epochs?)");
/// assert_eq!(fvc_learn::with_nearest("volume", &["epochs", "depth"]), "volume");
/// ```
pub fn with_nearest(name: &str, known: &[&str]) -> String {
    let distance = |own: &&&str| strsim::damerau_levenshtein(name, own);
    match known.iter().min_by_key(distance) {
        Some(nearest) if 3 * distance(&nearest) <= name.chars().count() => {
            format!("{name} (did you mean {nearest}?)")
        }
        _ => name.to_owned(),
    }
}
