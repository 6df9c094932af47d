//! [`Devices`]: where a network is trained; each device is one rank of the training.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::NetworkError;

/// Where one rank computes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Device {
    /// The processor.
    Cpu,
    /// An NVIDIA device by its number; without one, that of the rank's number on its machine.
    Cuda(Option<u32>),
}

impl fmt::Display for Device {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Cpu => f.write_str("cpu"),
            Self::Cuda(None) => f.write_str("cuda"),
            Self::Cuda(Some(number)) => write!(f, "cuda:{number}"),
        }
    }
}

/// One device or several, all of one kind. Written with commas: `cpu`, `cuda:0`, `cuda:0,cuda:1`; a number
/// alone is an NVIDIA device.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Devices(Vec<Device>);

/// What a list of devices may be, in words.
const EXPECTED: &str = "cpu, cuda or cuda:N, several of one kind with commas";

impl Devices {
    /// Each of them; there is one at least.
    pub fn all(&self) -> &[Device] {
        &self.0
    }

    /// How many ranks there are.
    pub fn count(&self) -> usize {
        self.0.len()
    }

    /// Whether ranks share the memory of this machine.
    pub fn are_processors(&self) -> bool {
        self.0.iter().all(|device| *device == Device::Cpu)
    }

    /// Checks that every one of them is there.
    ///
    /// # Errors
    /// The first that is not.
    pub fn check(&self) -> Result<(), NetworkError> {
        for device in &self.0 {
            let Device::Cuda(number) = device else { continue };
            let count = cuda_devices();
            if number.unwrap_or(0) as usize >= count {
                let found = match count {
                    _ if !cfg!(feature = "cuda") => {
                        "this build has no CUDA: the only device is cpu".to_owned()
                    }
                    0 => "no NVIDIA device on this machine".to_owned(),
                    count => format!("{count} NVIDIA devices, the last is cuda:{}", count - 1),
                };
                return Err(NetworkError::Device { device: device.to_string(), found });
            }
        }
        Ok(())
    }
}

/// How many NVIDIA devices this process can use.
pub fn cuda_devices() -> usize {
    #[cfg(feature = "cuda")]
    {
        use burn::tensor::backend::Backend;
        // Without a driver the runtime would not answer but end the thread.
        let driver =
            ["/dev/nvidiactl", "/dev/dxg"].iter().any(|path| std::path::Path::new(path).exists());
        if driver { <burn::backend::Cuda as Backend>::device_count(0) } else { 0 }
    }
    #[cfg(not(feature = "cuda"))]
    0
}

impl fmt::Display for Devices {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, device) in self.0.iter().enumerate() {
            if at > 0 {
                f.write_str(",")?;
            }
            write!(f, "{device}")?;
        }
        Ok(())
    }
}

impl FromStr for Devices {
    type Err = NetworkError;

    fn from_str(text: &str) -> Result<Self, NetworkError> {
        let wrong = |expected: &str| NetworkError::setting("devices", expected, text);
        let mut devices = Vec::new();
        for name in text.split(',').map(str::trim) {
            let number = name.strip_prefix("cuda:").unwrap_or(name);
            devices.push(match (name, number.parse::<u32>()) {
                ("cpu", _) => Device::Cpu,
                ("cuda", _) => Device::Cuda(None),
                (_, Ok(number)) => Device::Cuda(Some(number)),
                (_, Err(_)) => return Err(wrong(EXPECTED)),
            });
        }
        let is_cpu = |device: &Device| *device == Device::Cpu;
        if devices.iter().any(is_cpu) && !devices.iter().all(is_cpu) {
            return Err(wrong("devices of one kind: ranks wait for the slowest of them"));
        }
        if devices.len() > 1 && devices.contains(&Device::Cuda(None)) {
            return Err(wrong("a number behind each cuda where there are several"));
        }
        Ok(Self(devices))
    }
}

impl From<Device> for Devices {
    fn from(device: Device) -> Self {
        Self(vec![device])
    }
}

impl TryFrom<String> for Devices {
    type Error = NetworkError;

    fn try_from(text: String) -> Result<Self, NetworkError> {
        text.parse()
    }
}

impl From<Devices> for String {
    fn from(devices: Devices) -> Self {
        devices.to_string()
    }
}
