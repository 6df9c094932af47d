//! Rows of forensic features for `tools/bench-forensic`: clips as raw pictures in, one line of numbers a clip out.
//!
//! Standard input, clip after clip: a line `WIDTH HEIGHT INDEX...` with the frames' positions in the source,
//! then their packed RGB bytes. The first line of the output names the features.

use std::io::{self, BufRead, Read, Write};

use fvc_features::{FORENSIC, ForensicExtractor};
use fvc_media::Frame;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut input = io::BufReader::new(io::stdin().lock());
    let mut output = io::stdout().lock();
    let names: Vec<&str> = FORENSIC.specs.iter().map(|spec| spec.name).collect();
    writeln!(output, "{}", names.join(" "))?;
    let mut extractor = ForensicExtractor::new();
    let mut line = String::new();
    loop {
        line.clear();
        if input.read_line(&mut line)? == 0 {
            return Ok(());
        }
        let mut numbers = line.split_whitespace().map(str::parse::<u64>);
        let mut next = || numbers.next().ok_or("expected: WIDTH HEIGHT INDEX...");
        let (width, height) = (u32::try_from(next()??)?, u32::try_from(next()??)?);
        for index in numbers {
            let mut pixels = vec![0; 3 * width as usize * height as usize];
            input.read_exact(&mut pixels)?;
            extractor.push(&Frame::new(width, height, pixels, index?, 0.0)?);
        }
        let values: Vec<String> = extractor.finish().iter().map(ToString::to_string).collect();
        writeln!(output, "{}", values.join(" "))?;
        output.flush()?;
    }
}
